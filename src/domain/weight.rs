//! Shares of traffic.
//!
//! Owns: the unit, its parsing and printing. Must not: know what a router can represent.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Thousandths of a percent in one percent.
const UNIT: u32 = 1000;

/// A share of traffic from 0 % to 100 %, exact to a thousandth of a percent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Percent(u32);

/// Indicates text that is not a weight.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is not a weight: {reason}")]
pub struct WeightError {
    /// The text as given.
    pub text: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

impl Percent {
    /// No traffic.
    pub const ZERO: Self = Self(0);
    /// The least that is some: a thousandth of a percent.
    pub const LEAST: Self = Self(1);
    /// All traffic.
    pub const FULL: Self = Self(100 * UNIT);

    /// Returns `percent` whole percent; more than 100 is 100.
    pub const fn whole(percent: u32) -> Self {
        if percent >= 100 {
            Self::FULL
        } else {
            Self(percent * UNIT)
        }
    }

    /// Returns the share `part` of `all`, rounded to the nearest thousandth of a percent; 0 of 0 is 0.
    pub fn share(part: u32, all: u32) -> Self {
        if all == 0 {
            return Self::ZERO;
        }
        let (part, all) = (u64::from(part.min(all)), u64::from(all));
        let scaled = (part * u64::from(Self::FULL.0) + all / 2) / all;
        Self(u32::try_from(scaled).unwrap_or(Self::FULL.0))
    }

    /// Returns what is left of 100 %.
    pub fn rest(self) -> Self {
        Self(Self::FULL.0 - self.0)
    }

    /// Returns the share as a fraction between 0 and 1.
    pub fn fraction(self) -> f64 {
        f64::from(self.0) / f64::from(Self::FULL.0)
    }

    /// Returns this share of `total`, rounded to the nearest whole number.
    pub fn of(self, total: u32) -> u32 {
        let full = u64::from(Self::FULL.0);
        let part = (u64::from(total) * u64::from(self.0) + full / 2) / full;
        u32::try_from(part).unwrap_or(total)
    }

    /// Returns the difference in percentage points, as a positive share.
    pub fn distance(self, other: Self) -> Self {
        Self(self.0.abs_diff(other.0))
    }

    fn parse_milli(text: &str, whole: &str) -> Result<u32, WeightError> {
        let fail = |reason| WeightError {
            text: whole.to_owned(),
            reason,
        };
        let number = text.trim().trim_end_matches('%').trim_end();
        let (int, decimals) = number.split_once('.').unwrap_or((number, ""));
        let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
        if !digits(int) || (number.contains('.') && !digits(decimals)) {
            return Err(fail("write a number such as 25, 25% or 0.5%"));
        }
        if decimals.len() > 3 {
            return Err(fail("at most three decimals"));
        }
        let int: u32 = int.parse().map_err(|_| fail("must be from 0 to 100"))?;
        let decimals: u32 = format!("{decimals:0<3}").parse().unwrap_or(0);
        int.checked_mul(UNIT)
            .and_then(|milli| milli.checked_add(decimals))
            .filter(|milli| *milli <= Self::FULL.0)
            .ok_or_else(|| fail("must be from 0 to 100"))
    }
}

// === impl Percent ===

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (int, milli) = (self.0 / UNIT, self.0 % UNIT);
        let text = if milli == 0 {
            format!("{int}%")
        } else {
            let decimals = format!("{milli:03}");
            format!("{int}.{}%", decimals.trim_end_matches('0'))
        };
        f.pad(&text)
    }
}

impl FromStr for Percent {
    type Err = WeightError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse_milli(text, text).map(Self)
    }
}

impl Serialize for Percent {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(f64::from(self.0) / f64::from(UNIT))
    }
}

impl<'de> Deserialize<'de> for Percent {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Percent;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a weight from 0 to 100, such as 25, 25% or 0.5%")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Percent, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Percent, E> {
                self.visit_str(&number.to_string())
            }

            fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Percent, E> {
                self.visit_str(&number.to_string())
            }

            fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<Percent, E> {
                self.visit_str(&number.to_string())
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl schemars::JsonSchema for Percent {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Weight".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "Share of traffic: 25, \"25%\" or \"0.5%\"",
            "anyOf": [
                {"type": "number", "minimum": 0, "maximum": 100},
                {"type": "string", "pattern": "^[0-9]+(\\.[0-9]{1,3})?%?$"}
            ]
        })
    }
}

/// A weight as an operator asks for it: absolute, or relative to the present one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WeightChange {
    /// To this weight.
    To(Percent),
    /// Up by this many percentage points.
    Up(Percent),
    /// Down by this many percentage points.
    Down(Percent),
}

impl WeightChange {
    /// Returns the weight to move to from `present`, or an error when it leaves 0–100 %.
    pub fn from(self, present: Percent) -> Result<Percent, WeightError> {
        let fail = |sign: char, by: Percent| WeightError {
            text: format!("{sign}{by}"),
            reason: "the weight would leave 0–100 %",
        };
        match self {
            Self::To(weight) => Ok(weight),
            Self::Up(by) => Some(present.0 + by.0)
                .filter(|milli| *milli <= Percent::FULL.0)
                .map(Percent)
                .ok_or_else(|| fail('+', by)),
            Self::Down(by) => present
                .0
                .checked_sub(by.0)
                .map(Percent)
                .ok_or_else(|| fail('-', by)),
        }
    }
}

impl FromStr for WeightChange {
    type Err = WeightError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = |rest: &str| Percent::parse_milli(rest, text).map(Percent);
        match text.as_bytes().first() {
            Some(b'+') => parse(&text[1..]).map(Self::Up),
            Some(b'-') => parse(&text[1..]).map(Self::Down),
            _ => parse(text).map(Self::To),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_parse_and_print() {
        for (text, shown) in [
            ("25", "25%"),
            ("25%", "25%"),
            ("0.5%", "0.5%"),
            ("0", "0%"),
            ("100", "100%"),
            ("12.125", "12.125%"),
        ] {
            assert_eq!(text.parse::<Percent>().unwrap().to_string(), shown);
        }
    }

    #[test]
    fn what_is_not_a_weight_is_refused_with_the_reason() {
        for text in [
            "101",
            "abc",
            "",
            "-1",
            "1e2",
            "NaN",
            "inf",
            "100.001",
            "1.2345",
            "5.",
            ".5",
            "99999999999",
        ] {
            assert!(text.parse::<Percent>().is_err(), "{text}");
        }
        let error = "101".parse::<Percent>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "'101' is not a weight: must be from 0 to 100"
        );
    }

    #[test]
    fn relative_weights_stay_within_bounds() {
        let at = Percent::whole(20);
        assert_eq!(
            "+10".parse::<WeightChange>().unwrap().from(at),
            Ok(Percent::whole(30))
        );
        assert_eq!(
            "-20".parse::<WeightChange>().unwrap().from(at),
            Ok(Percent::ZERO)
        );
        assert!("+90".parse::<WeightChange>().unwrap().from(at).is_err());
        assert!("-30".parse::<WeightChange>().unwrap().from(at).is_err());
    }

    #[test]
    fn shares_of_pods_round_to_the_nearest() {
        assert_eq!(Percent::share(1, 3).to_string(), "33.333%");
        assert_eq!(Percent::share(0, 0), Percent::ZERO);
        assert_eq!(Percent::whole(25).of(10), 3);
        assert_eq!(Percent::whole(5).of(4), 0);
    }
}
