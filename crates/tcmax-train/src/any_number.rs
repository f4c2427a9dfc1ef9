//! Numbers of every kind in JSON, which has no infinity and no NaN: written as `null`, as is the habit, they could
//! not be read again. They are written as words.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

#[derive(Deserialize)]
#[serde(untagged)]
enum Number {
    Finite(f64),
    Word(String),
}

pub fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    match value.is_finite() {
        true => serializer.serialize_f64(*value),
        false => serializer.serialize_str(&value.to_string()),
    }
}

pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    match Number::deserialize(deserializer)? {
        Number::Finite(value) => Ok(value),
        Number::Word(word) => word.parse().map_err(serde::de::Error::custom),
    }
}

/// A number inside something else.
#[derive(Serialize, Deserialize)]
struct Any(#[serde(with = "self")] f64);

/// Numbers that may be missing, which is `null`.
pub mod option {
    use super::{Any, Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(value: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
        value.map(Any).serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<f64>, D::Error> {
        Ok(Option::<Any>::deserialize(deserializer)?.map(|Any(value)| value))
    }
}

/// Numbers by name.
pub mod map {
    use std::collections::BTreeMap;

    use super::{Any, Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(
        values: &BTreeMap<String, f64>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_map(values.iter().map(|(name, value)| (name, Any(*value))))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<String, f64>, D::Error> {
        let values = BTreeMap::<String, Any>::deserialize(deserializer)?;
        Ok(values.into_iter().map(|(name, Any(value))| (name, value)).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    #[derive(Debug, serde::Serialize, serde::Deserialize)]
    struct Values {
        #[serde(with = "super")]
        one: f64,
        #[serde(default, with = "super::option")]
        perhaps: Option<f64>,
        #[serde(default, with = "super::map")]
        named: BTreeMap<String, f64>,
    }

    #[test]
    fn every_number_is_read_as_it_was() {
        let same = |a: f64, b: f64| a == b || (a.is_nan() && b.is_nan());
        for value in [1.0 / 997.0, 3.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN] {
            let named = BTreeMap::from([("x".to_owned(), value)]);
            let values = Values { one: value, perhaps: Some(value), named };
            let text = serde_json::to_string(&values).unwrap();
            let read: Values = serde_json::from_str(&text).unwrap();
            assert!(same(read.one, value), "{text}: {read:?}");
            assert!(same(read.perhaps.unwrap(), value), "{text}: {read:?}");
            assert!(same(read.named["x"], value), "{text}: {read:?}");
        }
    }

    #[test]
    fn what_is_missing_stays_missing() {
        for text in [r#"{"one":1.0}"#, r#"{"one":1,"perhaps":null,"named":{}}"#] {
            let read: Values = serde_json::from_str(text).unwrap();
            assert!(read.perhaps.is_none() && read.named.is_empty(), "{text}");
        }
    }
}
