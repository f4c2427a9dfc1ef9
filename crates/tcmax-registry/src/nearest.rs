//! The name that was probably meant.

/// Below this similarity (Jaro-Winkler, 0 to 1) a name is not taken for a misspelling.
const SIMILAR: f64 = 0.8;

/// The name most like `given`, if one is like it at all.
///
/// ```
/// let names = ["epochs", "batch-size"];
/// assert_eq!(tcmax_registry::nearest("epoch", names.into_iter()), Some("epochs"));
/// assert_eq!(tcmax_registry::nearest("momentum", names.into_iter()), None);
/// ```
pub fn nearest<'a>(given: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let likeness = names.map(|name| (strsim::jaro_winkler(given, name), name));
    let most = likeness.max_by(|(a, _), (b, _)| a.total_cmp(b));
    most.filter(|(likeness, _)| *likeness >= SIMILAR).map(|(_, name)| name)
}
