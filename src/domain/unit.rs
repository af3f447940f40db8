//! What the number of a check counts.
//!
//! Owns: how a number is said in its unit. Must not: judge it, or read one that people wrote.

use serde::{Deserialize, Serialize};

use super::judge::{percent, span};

/// Bytes of a mebibyte, the unit that limits of memory are mostly written in.
const MEBIBYTE: f64 = 1_048_576.0;

/// What a number counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// Whatever its source says.
    #[default]
    Plain,
    /// A share, mostly between 0 and 1.
    Share,
    /// Seconds.
    Seconds,
    /// Bytes of memory.
    Bytes,
    /// Cores of CPU.
    Cores,
}

impl Unit {
    /// Returns whether nothing is known of the unit.
    pub fn is_plain(&self) -> bool {
        *self == Self::Plain
    }

    /// Returns the number as people write it: `96.5 %`, `320 ms`, `163.5 Mi`, `0.35 cores`.
    pub fn say(self, number: f64) -> String {
        match self {
            Self::Share => percent(number),
            Self::Seconds => span(number),
            Self::Bytes if number > 0.0 && number < MEBIBYTE => {
                format!("{} Ki", trimmed(number / 1024.0, 1))
            }
            Self::Bytes => format!("{} Mi", trimmed(number / MEBIBYTE, 1)),
            Self::Cores => match trimmed(number, 3).as_str() {
                "1" => "1 core".to_owned(),
                cores => format!("{cores} cores"),
            },
            Self::Plain => number.to_string(),
        }
    }
}

fn trimmed(number: f64, decimals: usize) -> String {
    let text = format!("{number:.decimals$}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_said_in_their_unit() {
        for (unit, number, text) in [
            (Unit::Plain, 0.5, "0.5"),
            (Unit::Share, 0.9, "90%"),
            (Unit::Share, 0.004_56, "0.46%"),
            (Unit::Seconds, 0.25, "250 ms"),
            (Unit::Bytes, 419_430_400.0, "400 Mi"),
            (Unit::Bytes, 171_442_176.0, "163.5 Mi"),
            (Unit::Bytes, 524_288.0, "512 Ki"),
            (Unit::Bytes, 0.0, "0 Mi"),
            (Unit::Cores, 0.35, "0.35 cores"),
            (Unit::Cores, 1.0, "1 core"),
            (Unit::Cores, 10.0, "10 cores"),
        ] {
            assert_eq!(unit.say(number), text, "{unit:?}");
        }
    }
}
