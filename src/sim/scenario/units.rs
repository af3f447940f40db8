//! The two units a scenario is written in: spans of time and shares of a whole.
//!
//! Owns: their text forms (`90s`, `25%`). Must not: know what they measure.

use std::{fmt, time::Duration};

use serde::{Deserialize, Deserializer, de};

/// A span of time, written `90s`, `5m`, `250ms`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

/// A share of a whole between 0 and 1, written `0.25` or `25%`.
#[derive(Debug, Clone, Copy, Default, PartialEq, PartialOrd)]
pub struct Ratio(pub f64);

impl Ratio {
    /// Returns all of it.
    pub fn whole() -> Self {
        Self(1.0)
    }

    fn checked<E: de::Error>(value: f64) -> Result<Self, E> {
        if (0.0..=1.0).contains(&value) {
            Ok(Self(value))
        } else {
            Err(E::custom("a share must be between 0 and 1, or 0% and 100%"))
        }
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        humantime::parse_duration(&text).map(Self).map_err(|e| {
            de::Error::custom(format!(
                "\"{text}\" is not a span of time such as 90s or 5m: {e}"
            ))
        })
    }
}

impl<'de> Deserialize<'de> for Ratio {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RatioVisitor)
    }
}

struct RatioVisitor;

impl de::Visitor<'_> for RatioVisitor {
    type Value = Ratio;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a share such as 0.25 or 25%")
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Ratio, E> {
        Ratio::checked(value)
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Ratio, E> {
        match value {
            0 => Ok(Ratio(0.0)),
            1 => Ok(Ratio(1.0)),
            _ => Err(E::custom("a share above 1 needs a percent sign")),
        }
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Ratio, E> {
        u64::try_from(value)
            .map_err(|_| E::custom("a share cannot be negative"))
            .and_then(|v| self.visit_u64(v))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Ratio, E> {
        let wrong = || E::custom(format!("\"{text}\" is not a share such as 0.25 or 25%"));
        match text.strip_suffix('%') {
            Some(percent) => {
                let percent: f64 = percent.trim().parse().map_err(|_| wrong())?;
                Ratio::checked(percent / 100.0)
            }
            None => Ratio::checked(text.parse().map_err(|_| wrong())?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_read_from_numbers_and_percents() {
        for (text, wanted) in [("0.25", 0.25), ("25%", 0.25), ("1", 1.0), ("0.5%", 0.005)] {
            let ratio: Ratio = serde_saphyr::from_str(text).unwrap();
            assert!((ratio.0 - wanted).abs() < 1e-12, "{text}");
        }
        for text in ["25", "-1", "120%", "many"] {
            assert!(serde_saphyr::from_str::<Ratio>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn spans_need_a_unit() {
        assert_eq!(
            serde_saphyr::from_str::<Span>("90s").unwrap().0,
            Duration::from_secs(90)
        );
        assert!(serde_saphyr::from_str::<Span>("90").is_err());
    }
}
