//! Sums of numbers that are kept as logarithms.
//!
//! Owns: `ln(Σ eᵃ)` without overflow. Must not: know what the numbers mean.

/// Returns `ln(e^a + e^b)`; negative infinity stands for nothing.
pub(super) fn log_add(a: f64, b: f64) -> f64 {
    let (high, low) = if a >= b { (a, b) } else { (b, a) };
    if low == f64::NEG_INFINITY {
        high
    } else {
        high + (low - high).exp().ln_1p()
    }
}

/// Returns `ln Σ e^x`; negative infinity for no terms.
pub(super) fn log_sum(terms: impl Iterator<Item = f64> + Clone) -> f64 {
    let high = terms.clone().fold(f64::NEG_INFINITY, f64::max);
    if high.is_finite() {
        high + terms.map(|x| (x - high).exp()).sum::<f64>().ln()
    } else {
        high
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "these values are exact")]
mod tests {
    use super::*;

    #[test]
    fn sums_do_not_overflow() {
        assert!((log_add(1e6, 1e6) - (1e6 + 2_f64.ln())).abs() < 1e-9);
        assert_eq!(log_add(f64::NEG_INFINITY, -3.0), -3.0);
        assert_eq!(
            log_add(f64::NEG_INFINITY, f64::NEG_INFINITY),
            f64::NEG_INFINITY
        );
        assert!((log_sum([1e6, 1e6, -1e6].into_iter()) - log_add(1e6, 1e6)).abs() < 1e-9);
        assert_eq!(log_sum([].into_iter()), f64::NEG_INFINITY);
    }
}
