//! The units a scenario is written in: spans of time, shares of a whole, memory and its growth.
//!
//! Owns: their text forms (`90s`, `25%`, `120Mi`, `2Mi/min`). Must not: know what they measure.

use std::{fmt, time::Duration};

use serde::{Deserialize, Deserializer, de};

/// A span of time, written `90s`, `5m`, `250ms`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

/// A share of a whole between 0 and 1, written `0.25` or `25%`.
#[derive(Debug, Clone, Copy, Default, PartialEq, PartialOrd)]
pub struct Ratio(pub f64);

/// An amount of memory in bytes, written as Kubernetes does: `120Mi`, `1G`, `4096`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(pub u64);

/// Growth of memory in bytes per second, written `2Mi/min`; less than `4Gi` per `s`, `min` or `h`.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Growth(pub f64);

impl Bytes {
    /// Returns the amount a text says; none when it is no whole amount with a suffix of Kubernetes.
    pub fn parse(text: &str) -> Option<Self> {
        const SUFFIXES: [(&str, u64); 8] = [
            ("Ki", 1 << 10),
            ("Mi", 1 << 20),
            ("Gi", 1 << 30),
            ("Ti", 1 << 40),
            ("k", 1_000),
            ("M", 1_000_000),
            ("G", 1_000_000_000),
            ("T", 1_000_000_000_000),
        ];
        let suffixed = SUFFIXES
            .iter()
            .find_map(|(suffix, unit)| Some((text.strip_suffix(suffix)?, *unit)));
        let (number, unit) = suffixed.unwrap_or((text, 1));
        number.parse::<u64>().ok()?.checked_mul(unit).map(Self)
    }
}

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

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| {
            de::Error::custom(format!("\"{text}\" is not an amount such as 120Mi or 1G"))
        })
    }
}

impl<'de> Deserialize<'de> for Growth {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let read = || {
            let (amount, time) = text.split_once('/')?;
            let seconds = match time {
                "s" => 1.0,
                "min" => 60.0,
                "h" => 3600.0,
                _ => return None,
            };
            let Bytes(bytes) = Bytes::parse(amount)?;
            Some(Self(f64::from(u32::try_from(bytes).ok()?) / seconds))
        };
        read()
            .ok_or_else(|| de::Error::custom(format!("\"{text}\" is not a growth such as 2Mi/min")))
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
    fn memory_is_written_as_kubernetes_does() {
        for (text, wanted) in [
            ("120Mi", Some(125_829_120)),
            ("1G", Some(1_000_000_000)),
            ("4096", Some(4096)),
            ("1.5Gi", None),
            ("-1", None),
            ("Mi", None),
        ] {
            assert_eq!(Bytes::parse(text).map(|b| b.0), wanted, "{text}");
        }
        let growth: Growth = serde_saphyr::from_str("3Mi/min").unwrap();
        assert!((growth.0 - 52_428.8).abs() < 1e-6);
        for text in ["3Mi", "3Mi/day", "fast/s"] {
            assert!(serde_saphyr::from_str::<Growth>(text).is_err(), "{text}");
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
