//! Any text as a configuration file: errors, never a panic, and no size that could not be made.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tcmax_train::TrainConfig;
use tcmax_train::schedule::Position;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(config) = TrainConfig::from_toml(text)
        && let Ok(checked) = config.check()
    {
        // What runs is what is written down beside its results, but for what cannot be a path in TOML.
        let written = toml::to_string(checked.config()).expect("settings that were read");
        let again = TrainConfig::from_toml(&written).expect("settings that were written");
        let again = again.check().expect("settings that were checked");
        assert_eq!(toml::to_string(again.config()).expect("as before"), written);
        if let Ok(schedule) = checked.new_schedule() {
            let _ = schedule.rate(Position::new(1, 0, checked.schedule_epochs(), 1));
        }
    }
});
