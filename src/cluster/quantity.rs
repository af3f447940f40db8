//! Amounts of resources as Kubernetes writes them.
//!
//! Owns: reading and printing them. Must not: know what they are amounts of.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

/// Suffixes and their factors; the longer ones first.
const SUFFIXES: [(&str, f64); 15] = [
    ("Ki", 1024.0),
    ("Mi", 1_048_576.0),
    ("Gi", 1_073_741_824.0),
    ("Ti", 1_099_511_627_776.0),
    ("Pi", 1_125_899_906_842_624.0),
    ("Ei", 1_152_921_504_606_846_976.0),
    ("n", 1e-9),
    ("u", 1e-6),
    ("m", 1e-3),
    ("k", 1e3),
    ("M", 1e6),
    ("G", 1e9),
    ("T", 1e12),
    ("P", 1e15),
    ("E", 1e18),
];

/// Returns an amount such as `200m` or `256Mi` as a number; `None` when it is not one.
pub fn amount(text: &str) -> Option<f64> {
    let text = text.trim();
    // A plain number may end in an exponent, as in `1E3`, which is not the suffix E.
    let plain = text.parse::<f64>().ok();
    let with_suffix = || {
        let (number, factor) = SUFFIXES
            .iter()
            .find_map(|(suffix, factor)| Some((text.strip_suffix(suffix)?, factor)))?;
        Some(number.parse::<f64>().ok()? * factor)
    };
    plain.or_else(with_suffix).filter(|n| n.is_finite())
}

/// Returns the amount of a quantity.
pub fn of(quantity: &Quantity) -> Option<f64> {
    amount(&quantity.0)
}

/// Returns an amount of `resource` for people.
pub fn shown(resource: &str, amount: f64) -> String {
    if resource.ends_with("memory") {
        return format!("{} Mi", (amount / 1_048_576.0).ceil());
    }
    let text = format!("{amount:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_as_kubernetes_writes_them() {
        for (text, expected) in [
            ("10", Some(10.0)),
            ("200m", Some(0.2)),
            ("1.5", Some(1.5)),
            ("256Mi", Some(268_435_456.0)),
            ("2G", Some(2e9)),
            ("1e3", Some(1000.0)),
            ("12E", Some(12e18)),
            ("", None),
            ("Mi", None),
            ("inf", None),
        ] {
            let close = match (amount(text), expected) {
                (Some(a), Some(b)) => (a - b).abs() < 1e-6 * b,
                (a, b) => a == b,
            };
            assert!(close, "{text}: {:?}", amount(text));
        }
    }

    #[test]
    fn amounts_are_shown_for_people() {
        assert_eq!(shown("requests.memory", 268_435_456.0), "256 Mi");
        assert_eq!(shown("requests.cpu", 0.2), "0.2");
        assert_eq!(shown("pods", 10.0), "10");
    }
}
