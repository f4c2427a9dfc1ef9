//! What the tensors of a file are for, by their names.

/// What a tensor is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Renamed {
    /// The value of the parameter of this name.
    To(String),
    /// Nothing that is needed, such as the head of another task.
    Ignored,
}

/// Rules that make parameters' names of tensors' names, applied in the order in which they were added.
///
/// ```
/// use tcmax_pretrained::{NameRules, Renamed};
///
/// let rules = NameRules::new()
///     .ignore("cls.*")
///     .ignore("*.position_ids")
///     .strip("module.")
///     .strip("bert.")
///     .rename_last("gamma", "weight")
///     .rename_start("encoder.layer.", "layers.");
/// let to = |name: &str| Renamed::To(name.to_owned());
/// assert_eq!(rules.apply("module.bert.embeddings.LayerNorm.gamma"), to("embeddings.LayerNorm.weight"));
/// assert_eq!(rules.apply("bert.encoder.layer.0.bias"), to("layers.0.bias"));
/// assert_eq!(rules.apply("cls.predictions.bias"), Renamed::Ignored);
/// assert_eq!(rules.apply("bert.embeddings.position_ids"), Renamed::Ignored);
/// ```
#[derive(Clone, Debug, Default)]
pub struct NameRules {
    rules: Vec<Rule>,
}

#[derive(Clone, Debug)]
enum Rule {
    Ignore(String),
    Start(String, String),
    Last(String, String),
    Anywhere(String, String),
}

impl NameRules {
    /// No rules: every name stays as it is.
    pub fn new() -> Self {
        Self::default()
    }

    /// Ignores names that match a pattern, in which each `*` stands for any number of characters.
    #[must_use]
    pub fn ignore(self, pattern: &str) -> Self {
        self.with(Rule::Ignore(pattern.to_owned()))
    }

    /// Takes `prefix` (with its dot) off names that begin with it.
    #[must_use]
    pub fn strip(self, prefix: &str) -> Self {
        self.rename_start(prefix, "")
    }

    /// Replaces `from` by `to` at the start of names that begin with it.
    #[must_use]
    pub fn rename_start(self, from: &str, to: &str) -> Self {
        self.with(Rule::Start(from.to_owned(), to.to_owned()))
    }

    /// Replaces the last part of names (after the last dot) that is `from` by `to`.
    #[must_use]
    pub fn rename_last(self, from: &str, to: &str) -> Self {
        self.with(Rule::Last(from.to_owned(), to.to_owned()))
    }

    /// Replaces `from` by `to` wherever it occurs in a name.
    #[must_use]
    pub fn rename(self, from: &str, to: &str) -> Self {
        self.with(Rule::Anywhere(from.to_owned(), to.to_owned()))
    }

    fn with(mut self, rule: Rule) -> Self {
        self.rules.push(rule);
        self
    }

    /// What the tensor called `name` is for.
    pub fn apply(&self, name: &str) -> Renamed {
        let mut name = name.to_owned();
        for rule in &self.rules {
            match rule {
                Rule::Ignore(pattern) if matches(pattern, &name) => return Renamed::Ignored,
                Rule::Ignore(_) => {}
                Rule::Start(from, to) => {
                    if let Some(rest) = name.strip_prefix(from.as_str()) {
                        name = format!("{to}{rest}");
                    }
                }
                Rule::Last(from, to) => {
                    let start = name.rfind('.').map_or(0, |dot| dot + 1);
                    if name[start..] == *from {
                        name.replace_range(start.., to);
                    }
                }
                Rule::Anywhere(from, to) => name = name.replace(from.as_str(), to),
            }
        }
        Renamed::To(name)
    }
}

/// Whether a name matches a pattern with `*` for any number of characters.
pub(super) fn matches(pattern: &str, name: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut left) = name.strip_prefix(start) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let end = parts.pop().unwrap_or_default();
    for part in parts {
        // The first place is as good as any: what follows has the most room.
        let Some((_, after)) = left.split_once(part) else { return false };
        left = after;
    }
    left.ends_with(end)
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn stars_stand_for_anything() {
        for (pattern, name, wanted) in [
            ("fc.*", "fc.weight", true),
            ("fc.*", "layer.fc.weight", false),
            ("*.position_ids", "a.b.position_ids", true),
            ("*.position_ids", "position_ids", false),
            ("*", "", true),
            ("a*b*c", "axbxc", true),
            ("a*b*c", "acb", false),
            ("ab*ba", "aba", false),
            ("a", "ab", false),
        ] {
            assert_eq!(matches(pattern, name), wanted, "{pattern} {name}");
        }
    }
}
