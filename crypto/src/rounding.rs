/// The nearest whole number, the even one of two: `x.round_ties_even()` without a branch.
///
/// For a processor that is not known to have an instruction for it, the compiler calls a function for the latter, and
/// that one asks for the sign of its argument.
#[inline]
pub(crate) fn nearest(x: f64) -> f64 {
    // From 2^52 on a double has no fraction: an addition to 2^52 rounds it away.
    let rounded = (x.abs() + TWO_TO_52 - TWO_TO_52).copysign(x);
    let has_fraction = u64::from(x.abs() < TWO_TO_52).wrapping_neg();
    f64::from_bits(rounded.to_bits() & has_fraction | x.to_bits() & !has_fraction)
}

const TWO_TO_52: f64 = (1_u64 << 52) as f64;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ties_and_ends_are_those_of_the_standard_library() {
        let whole = [
            0.0,
            1.0,
            2.0,
            1e6,
            TWO_TO_52 / 2.0,
            TWO_TO_52,
            2.0 * TWO_TO_52,
            1e300,
        ];
        let beside = |x: f64| [x, x - 0.5, x + 0.5, x.next_down(), x.next_up(), x + 0.25];
        let mut numbers: Vec<f64> = whole.into_iter().flat_map(beside).collect();
        numbers.extend([
            0.499_999_999_999_999_94,
            f64::MIN_POSITIVE,
            5e-324,
            f64::MAX,
            f64::INFINITY,
        ]);
        for x in numbers {
            for x in [x, -x] {
                assert_eq!(nearest(x).to_bits(), x.round_ties_even().to_bits(), "{x:e}");
            }
        }
        assert!(nearest(f64::NAN).is_nan());
    }

    proptest! {
        #[test]
        fn any_number_is_rounded_as_by_the_standard_library(
            x in any::<f64>(),
            mantissa in any::<i64>(),
            exponent in -60..3,
        ) {
            let near_one = mantissa as f64 * f64::from(exponent).exp2();
            for x in [x, near_one] {
                prop_assert_eq!(nearest(x).to_bits(), x.round_ties_even().to_bits());
            }
        }
    }
}
