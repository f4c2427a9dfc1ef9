use tcmax_encoders::InputKind;
use tcmax_registry::{Choice, OptionSet, Options, Table};

use super::*;
use crate::schedule::Position;

fn problem(text: &str) -> String {
    TrainConfig::from_toml(text).and_then(TrainConfig::check).unwrap_err().to_string()
}

fn checked(text: &str) -> CheckedConfig {
    TrainConfig::from_toml(text).unwrap().check().unwrap()
}

#[test]
fn the_defaults_are_valid_and_drop_the_rate_at_epoch_30_of_40() {
    let checked = TrainConfig::default().check().unwrap();
    let schedule = checked.new_schedule().unwrap();
    let rate = |epoch| schedule.rate(Position::new(epoch, 0, checked.schedule_epochs(), 7));
    assert_eq!((rate(0), rate(29)), (0.05, 0.05));
    assert!((rate(30) - 0.005).abs() < 1e-15);
    let config = checked.config();
    assert_eq!((config.method.name.as_str(), config.head.name.as_str()), ("tcmax", "concat"));
    assert_eq!(config.data.name, "synthetic");
}

#[test]
fn settings_out_of_range_are_named_by_their_keys() {
    for (text, words) in [
        ("[train]\nepochs = 0", "train.epochs: must be 1 to 100000"),
        ("[train]\nbatch-size = 1", "train.batch-size: must be"),
        ("[train]\nworkers = 100000", "train.workers: must be 0 to 256"),
        ("[train]\nclip-norm = -1.0", "train.clip-norm: must be"),
        ("[train]\naverage = 1.0", "train.average: must be"),
        ("[train]\npatience = 0", "train.patience: must be"),
        ("[optimiser]\nlearning-rate = nan", "optimiser.learning-rate: must be"),
        ("[optimiser]\nmomentum = 1.0", "optimiser.momentum: "),
        ("[schedule]\ngamma = -1.0", "schedule.gamma: must be"),
        ("[schedule.warm-up]\nlength = -1", "schedule.warm-up: "),
        ("[method]\nname = \"magic\"", "choose one of: joint, unimodal, tcmax, ogm"),
        ("[head]\nname = \"magic\"", "choose one of: concat, sum, shared"),
        ("[method]\nname = \"ogm\"\nalpha = -1.0", "method.alpha: must be"),
        ("[method]\nname = \"ogm\"\nbeta = 1.0", "there is no option 'beta'"),
        ("[method.ogm]\nalpha = -1.0", "method.ogm.alpha: must be"),
        ("[method.magic]\nbeta = 1", "there is no method 'magic'"),
        ("[head]\nname = \"clip\"\ntemperature = 0.0", "head.temperature: must be"),
        ("[head]\nname = \"gated\"\nhidden = 100000", "head.hidden: must be 1 to 16384"),
        ("[encoder]\nwidth = \"wide\"", "encoder: invalid type"),
        ("[encoder]\nname = \"resnet18\"\nwidth = 3", "there is no option 'width'"),
        ("[encoder]\nname = \"resnet1\"", "did you mean 'resnet18'?"),
        ("[encoder]\nwidth = 100000", "encoder.width: must be 1 to 2048"),
        (
            "[encoder.face]\nname = \"mlp\"\nwidths = [8, 0]",
            "encoder.face.widths: must be 1 to 16384",
        ),
        ("[encoder.face]\nrate-facto = 0.1", "did you mean 'rate-factor'?"),
        ("[encoder.face]\nname = 3", "encoder.face.name: must be a name"),
        ("[data]\nname = \"magic\"", "choose one of: synthetic, regimes, av-digits, files"),
        ("[data]\nname = \"files\"", "data.path: is missing"),
    ] {
        let problem = problem(text);
        assert!(problem.contains(words), "{text}: {problem}");
    }
}

#[test]
fn a_configuration_file_names_the_line_that_is_wrong() {
    for (text, line, words) in [
        ("[train]\nepochs = -1", 1, "train"),
        ("[train]\n\nepochs = 0", 3, "train.epochs"),
        ("\n[trian]\nepochs = 1", 2, "did you mean [train]?"),
        ("epochs = 3", 1, "there is no such section"),
        ("train = 3", 1, "is a section"),
        ("[train]\nepochs = ", 2, "epochs"),
        ("[head]\nname = 3", 2, "must be a name"),
    ] {
        let error = TrainConfig::from_toml(text).unwrap_err().to_string();
        assert!(error.contains(&format!("line {line},")), "{text}: {error}");
        assert!(error.contains(words), "{text}: {error}");
    }
    let text = "[data]\nname = \"synthetic\"\ntrain-sise = 1";
    let error =
        with_position(text, TrainConfig::from_toml(text).unwrap().check().unwrap_err()).to_string();
    assert!(error.contains("did you mean 'train-size'?") && error.contains("line 3"), "{error}");
}

#[test]
fn each_modality_has_the_encoder_that_was_set_for_it_or_the_general_one() {
    let text = "[encoder]\nwidth = 4\nrate-factor = 0.5\n[encoder.touch]\nwidths = [3]\nweight-decay = \
                0.1\n[encoder.face]\nname = \"mlp\"\nwidths = [8]\n\
                [encoder.voice]\nwidth = 2\nfrozen-epochs = 3";
    let checked = checked(text);
    let of = |name: &str, kind| {
        let EncoderChoice { spec, options, training } = checked.encoder(name, kind).unwrap();
        (spec.name, options, training)
    };
    let (name, options, training) = of("face", InputKind::Vector);
    assert_eq!((name, options, training.rate_factor), ("mlp", toml::toml! { widths = [8] }, 1.0));
    let (name, options, training) = of("voice", InputKind::Spectrogram);
    assert_eq!((name, options), ("resnet-slim", toml::toml! { width = 2 }));
    assert_eq!((training.rate_factor, training.frozen_epochs), (0.5, 3));
    let (name, options, training) = of("touch", InputKind::Vector);
    assert_eq!((name, options), ("mlp", toml::toml! { widths = [3] }));
    assert_eq!((training.rate_factor, training.weight_decay), (0.5, Some(0.1)));
    let error = checked.encoder("touch", InputKind::Image).unwrap_err().to_string();
    assert!(error.starts_with("encoder.touch.widths: there is no option"), "{error}");
    let (name, options, training) = of("hand", InputKind::Image);
    assert_eq!((name, options), ("resnet-slim", toml::toml! { width = 4 }));
    assert_eq!((training.rate_factor, training.frozen_epochs), (0.5, 0));
    // The general encoder is not for vectors; how it is trained holds for them too.
    let (name, options, training) = of("pulse", InputKind::Vector);
    assert_eq!((name, options), ("mlp", toml::toml! { widths = [128, 128] }));
    assert_eq!(training.rate_factor, 0.5);
}

#[test]
fn what_is_written_is_read_back_and_is_the_same_when_checked_again() {
    let texts = [
        "",
        "[data]\nname = \"av-digits\"\nocclusion = 3\n[encoder.audio]\nwidth = 3\n[schedule]\nname = \
         \"cosine\"\nwarm-up = { length = 2 }\nlength = 9",
        "[optimiser]\nname = \"adamw\"\nlearning-rate = 1\n[train]\nkeep = \"last\"\naverage = 0.9",
    ];
    for text in texts {
        let once = checked(text).config().clone();
        let written = toml::to_string(&once).unwrap();
        for unsaved in once.train.unsaved().keys() {
            assert!(!written.contains(unsaved.as_str()), "{written}");
        }
        let again = TrainConfig::from_toml(&written).unwrap();
        assert_eq!(again, once);
        assert_eq!(*again.check().unwrap().config(), once);
    }
}

#[test]
fn what_is_not_saved_is_a_setting_all_the_same() {
    let mut config = TrainConfig::default();
    for (key, value) in
        [("workers", 3.into()), ("log-steps", 7.into()), ("tensorboard", true.into())]
    {
        let value: toml::Value = value;
        config.set(&format!("train.{key}"), value.clone()).unwrap();
        // The options set before stay.
        config.set("train.epochs", 3.into()).unwrap();
        assert_eq!(config.train.unsaved()[key], value, "{key}");
    }
    assert_eq!((config.train.workers, config.train.log_steps), (3, 7));
    let saved = Table::try_from(&config.train).unwrap();
    for option in Options::of::<TrainingOptions>().documentation() {
        // Options without a default are absent from both.
        let known =
            saved.contains_key(&option.name) != config.train.unsaved().contains_key(&option.name);
        assert!(known || option.default.is_none(), "{} is in neither or in both", option.name);
    }
    config.train.workers = 1_000;
    assert!(config.check().is_err());
}

#[test]
fn another_method_keeps_the_options_of_the_one_before_for_later() {
    let mut config = TrainConfig::from_toml("[method]\nname = \"ogm\"\nalpha = 0.3").unwrap();
    config.set("method.name", "tcmax".into()).unwrap();
    assert_eq!(config.method.name, "tcmax");
    let unnamed = TrainConfig::from_toml("[method]\nalpha = 0.3").unwrap();
    assert!(unnamed.clone().by_method("joint").check().is_err(), "nothing is left out in silence");
    assert!(unnamed.by_method("ogm").check().is_ok());
    let back = config.by_method("ogm").check().unwrap();
    assert_eq!(back.config().method.options["alpha"], toml::Value::Float(0.3));
}

#[test]
fn keys_are_set_by_their_paths() {
    let mut config = TrainConfig::default();
    config.set("train.epochs", 3.into()).unwrap();
    config.set("encoder.audio.width", 4.into()).unwrap();
    config.set("optimiser.name", "adam".into()).unwrap();
    assert_eq!(config.train.epochs, 3);
    let audio = config.encoder.options["audio"].as_table().unwrap();
    assert_eq!(audio["width"], toml::Value::Integer(4));
    for (key, words) in [
        ("train.epoch", "did you mean 'epochs'?"),
        ("trian.epochs", "did you mean [train]?"),
        ("head", "set one of its keys"),
        ("train", "there is no option"),
        ("encoder.audio.width.x", "is no table"),
    ] {
        let error = config.clone().set(key, 1.into()).unwrap_err().to_string();
        assert!(error.contains(words), "{key}: {error}");
    }
}

#[test]
fn the_place_of_data_does_not_depend_on_the_folder_one_is_in() {
    let data = Choice::named("files").with("path", "x.npz");
    let checked = TrainConfig { data, ..TrainConfig::default() }.check().unwrap();
    let path = checked.config().data.options["path"].as_str().unwrap();
    assert_eq!(path, std::env::current_dir().unwrap().join("x.npz").to_str().unwrap());
    assert!(
        !checked.data().without_paths(checked.config().data.clone()).options.contains_key("path")
    );
}
