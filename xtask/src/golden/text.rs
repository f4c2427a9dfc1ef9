//! Numbers in the notes of recorded cases.

/// The number that follows the first `before` in a text.
pub fn number_after(text: &str, before: &str) -> Option<f64> {
    let (_, rest) = text.split_once(before)?;
    let mut last = 'e';
    let ends = |c: char| {
        // A sign is part of a number at its start and in its exponent alone.
        let sign = (c == '-' || c == '+') && last == 'e';
        last = c;
        !(c.is_ascii_digit() || c == '.' || c == 'e' || sign)
    };
    let end = rest.find(ends).unwrap_or(rest.len());
    // What ends a sentence or a sum is no part of the number.
    let number = rest[..end].trim_end_matches(|c: char| !c.is_ascii_digit());
    number.split("..").next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_end_where_words_begin() {
        let text =
            "a=1e-4, b=.5; c=7) d=1e4, momentum 0.85..0.95 cycled, max_norm=1.5; t/5, (30-5)";
        for (before, wanted) in [
            ("a=", 1e-4),
            ("b=", 0.5),
            ("c=", 7.0),
            ("d=", 1e4),
            ("momentum ", 0.85),
            ("..", 0.95),
            ("max_norm=", 1.5),
            ("t/", 5.0),
            ("(", 30.0),
        ] {
            assert_eq!(number_after(text, before), Some(wanted), "{before}");
        }
        assert_eq!(number_after(text, "x="), None);
        assert_eq!(number_after("x=cos", "x="), None);
    }
}
