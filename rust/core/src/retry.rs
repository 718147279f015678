//! How long to wait before an attempt.

use std::time::Duration;

/// The delay of one retry, spread by `jitter_factor`.
///
/// With a factor above zero the delay is drawn from an exponential law with mean `base`, clamped so that the
/// upper end is `base * (1 + jitter_factor)` and as much of the law is cut below as above: the mean stays
/// near `base`. `uniform` is a number in `0.0..1.0`.
pub fn jittered(base: Duration, jitter_factor: f64, uniform: f64) -> Duration {
    let seconds = base.as_secs_f64();
    if jitter_factor.is_nan() || jitter_factor <= 0.0 || seconds <= 0.0 {
        return base;
    }
    // log2(r / (r - 1)) with r = 2^(1 + factor), in a form in which no factor is too large.
    let lowest = -(-(-1.0 - jitter_factor).exp2()).ln_1p() / std::f64::consts::LN_2;
    let drawn = -(1.0 - uniform.clamp(0.0, 1.0 - f64::EPSILON)).ln();
    let delay = seconds * drawn.clamp(lowest, 1.0 + jitter_factor);
    Duration::try_from_secs_f64(delay).unwrap_or(Duration::MAX)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_jittered_delay_stays_within_its_bounds(
            base in 0.001_f64..100.0, jitter in 0.001_f64..10.0, uniform in 0.0_f64..1.0,
        ) {
            let delay = jittered(Duration::from_secs_f64(base), jitter, uniform).as_secs_f64();
            let reach = (1.0 + jitter).exp2();
            // A `Duration` is a whole number of nanoseconds.
            prop_assert!(delay >= base * (reach / (reach - 1.0)).log2() * 0.999_999 - 1e-9);
            prop_assert!(delay <= base * (1.0 + jitter) * 1.000_001 + 1e-9);
        }
    }

    #[test]
    fn no_factor_and_no_delay_is_too_large() {
        for factor in [f64::NAN, 1e3, 1e300, f64::INFINITY] {
            let delay = jittered(Duration::from_secs(1), factor, 0.5).as_secs_f64();
            assert!((0.0..=1.0).contains(&delay), "{delay} with a factor of {factor}");
        }
        assert_eq!(jittered(Duration::MAX, 3.0, 0.999), Duration::MAX);
    }

    #[test]
    fn no_jitter_and_no_delay_leave_the_delay_alone() {
        let second = Duration::from_secs(1);
        assert_eq!(jittered(second, 0.0, 0.5), second);
        assert_eq!(jittered(Duration::ZERO, 3.0, 0.5), Duration::ZERO);
    }

    #[test]
    fn the_bounds_are_those_of_the_reference() {
        let at = |jitter, uniform| jittered(Duration::from_secs(1), jitter, uniform).as_secs_f64();
        assert!((at(0.3, 0.0) - 0.75).abs() < 0.01 && (at(0.3, 0.999_999) - 1.3).abs() < 1e-9);
        assert!((at(3.0, 0.0) - 0.09).abs() < 0.01 && (at(3.0, 0.999_999) - 4.0).abs() < 1e-9);
    }
}
