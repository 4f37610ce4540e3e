//! What leaves the vault of a product: rounded and clipped (PROTOCOL.md 5.4, step 6).

use protocol::vocabulary::ConditioningForm;

/// How finely the shifts of logits are released: as one of 2^k + 1 values at equal distances in [-8, 8].
///
/// Filters are always released as multiples of 2^-12.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReleaseLevels {
    /// k, 1 to 16.
    bits: u8,
}

impl ReleaseLevels {
    /// The most there are: multiples of 2^-12.
    pub const FINEST: Self = Self { bits: 16 };

    /// `None` unless there are 3, 5, 9, 17, .. or 65,537 of them.
    pub fn new(levels: u32) -> Option<Self> {
        let steps = levels.checked_sub(1)?;
        let bits = u8::try_from(steps.checked_ilog2()?).ok()?;
        ((1..=16).contains(&bits) && steps.is_power_of_two()).then_some(Self { bits })
    }

    /// How many there are.
    pub const fn count(self) -> u32 {
        (1 << self.bits) + 1
    }

    /// Steps of a unit.
    fn grid(self) -> f64 {
        f64::from(1_u32 << self.bits) / (2.0 * f64::from(ConditioningForm::Late.limit()))
    }
}

impl Default for ReleaseLevels {
    fn default() -> Self {
        Self::FINEST
    }
}

/// Rounds to a multiple of 2^-12 and clips to [-1, 1].
pub fn release_tap(value: f64) -> f32 {
    release(value, FILTER_GRID, ConditioningForm::Study.limit())
}

/// Rounds to a level and clips to [-8, 8].
pub(super) fn release_shift(value: f64, levels: ReleaseLevels) -> f32 {
    release(value, levels.grid(), ConditioningForm::Late.limit())
}

/// The boundaries lie a little above the middles between multiples. Many features are 0 or 1 and W is an f32, so that W f *is* a
/// middle far more often than chance has it; there the sign of the decryption's error would decide, and tell (THREATS.md 7).
fn release(value: f64, grid: f64, limit: f32) -> f32 {
    let multiple = (value * grid - BOUNDARY_SHIFT).round_ties_even();
    // Adding zero makes -0 a zero like the others.
    ((multiple + 0.0) / grid).clamp(-f64::from(limit), f64::from(limit)) as f32
}

const FILTER_GRID: f64 = 4096.0;
/// In steps of the grid. 43/127 of a power of two is at least a sixth of the spacing away from the points of every finer binary grid,
/// however often it is doubled, and from their products with fractions whose denominator is no multiple of 127.
const BOUNDARY_SHIFT: f64 = 43.0 / (127.0 * 256.0);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weight_in_the_middle_between_two_multiples_does_not_show_the_sign_of_the_error() {
        for middle in [-1_320.5_f32, -0.5, 0.5, 1_023.5, 4_095.5] {
            let weight = middle / 4096.0;
            for neighbour in [weight.next_down(), weight, weight.next_up()] {
                let product = f64::from(neighbour);
                let error = 2.0_f64.powi(-34);
                let [less, more] = [product - error, product + error].map(release_tap);
                assert_eq!(less, more, "{neighbour}");
            }
        }
        let boundary = |multiple: f64| (multiple + 0.5 + BOUNDARY_SHIFT) / 4096.0;
        for multiple in [-1_321.0, 0.0, 7.0] {
            let beside = [-1e-12, 1e-12].map(|error| release_tap(boundary(multiple) + error));
            assert_eq!(
                beside.map(|tap| f64::from(tap) * 4096.0),
                [multiple, multiple + 1.0]
            );
        }
        let [less, more] = [-1e-9, 1e-9].map(release_tap);
        assert_eq!((less.to_bits(), more.to_bits()), (0, 0), "no sign of zero");
    }

    #[test]
    fn shifts_have_as_many_values_as_there_are_levels() {
        for levels in [3, 5, 33, 65_537] {
            let found = ReleaseLevels::new(levels).expect("2^k + 1");
            assert_eq!(found.count(), levels);
            let mut values: Vec<u32> = (-2000..=2000)
                .map(|step| release_shift(f64::from(step) / 200.0, found).to_bits())
                .collect();
            values.sort_unstable();
            values.dedup();
            assert_eq!(values.len(), (levels as usize).min(values.len()));
            assert!(levels > 33 || values.len() == levels as usize, "{levels}");
        }
        for wrong in [0, 1, 2, 4, 6, 32, 65_536, 131_073] {
            assert_eq!(ReleaseLevels::new(wrong), None, "{wrong}");
        }
        assert_eq!(release_shift(0.3, ReleaseLevels::FINEST), 0.300_048_83);
        let coarse = ReleaseLevels::new(17).expect("2^4 + 1");
        assert_eq!(
            [0.6, -0.6, 1.4, 99.0, -99.0].map(|value| release_shift(value, coarse)),
            [1.0, -1.0, 1.0, 8.0, -8.0]
        );
    }
}
