use super::{FieldFormat, MAX_HOSPITALS, RING_DEGREE, SumError, value_bits};

/// What one sum consists of: real values, then counters as base-256 digits, packed into fields of chunks.
///
/// All of it is in the header of the round, so that everyone derives the same shape (PROTOCOL 3.3, 3.4).
///
/// ```
/// use crypto::sealed_sum::{FieldFormat, SumShape};
///
/// // 4.2 million values, "contributions" and one more counter.
/// let shape = SumShape::new(4_200_000, &[3, 4], FieldFormat::TwoBy24, 10)?;
/// assert_eq!((shape.message_chunks(), shape.chunks()), (513, 514));
/// # Ok::<(), crypto::sealed_sum::SumError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SumShape {
    values: usize,
    counter_digits: Vec<u8>,
    format: FieldFormat,
    joined: usize,
}

impl SumShape {
    /// A sum of `values` real numbers and of one counter for each entry of `counter_digits`, the first of which
    /// is "contributions", among `joined` hospitals.
    ///
    /// # Errors
    /// If `joined` is not 2 to 127, a counter has no digits or more than 7, there is no counter, or the values
    /// are more than a `u32` can count.
    pub fn new(
        values: usize,
        counter_digits: &[u8],
        format: FieldFormat,
        joined: usize,
    ) -> Result<Self, SumError> {
        if !(2..=MAX_HOSPITALS).contains(&joined) {
            return Err(SumError::Joined { joined });
        }
        if u32::try_from(values).is_err() {
            return Err(SumError::TooManyValues { values });
        }
        if counter_digits.is_empty() {
            return Err(SumError::CounterDigits {
                counter: 0,
                digits: 0,
            });
        }
        for (counter, &digits) in counter_digits.iter().enumerate() {
            if !(1..=7).contains(&digits) {
                return Err(SumError::CounterDigits { counter, digits });
            }
        }
        Ok(Self {
            values,
            counter_digits: counter_digits.to_vec(),
            format,
            joined,
        })
    }

    /// d: the number of real values.
    pub fn values(&self) -> usize {
        self.values
    }

    /// The number of counters, "contributions" included.
    pub fn counters(&self) -> usize {
        self.counter_digits.len()
    }

    /// The base-256 digits of each counter.
    pub fn counter_digits(&self) -> &[u8] {
        &self.counter_digits
    }

    /// How a coefficient is divided into fields.
    pub fn format(&self) -> FieldFormat {
        self.format
    }

    /// The number of hospitals the value bits allow for.
    pub fn joined(&self) -> usize {
        self.joined
    }

    /// B: the bits of one hospital's value.
    pub fn value_bits(&self) -> u32 {
        value_bits(self.format, self.joined)
    }

    /// J: the number of chunks that the values and counters fill.
    pub fn message_chunks(&self) -> usize {
        self.occupied_fields().div_ceil(self.fields_per_chunk())
    }

    /// J + 1: the number of chunks that go over the wire, the last of them the tag's (PROTOCOL 3.10).
    pub fn chunks(&self) -> usize {
        self.message_chunks() + 1
    }

    /// What a value of 0 is counted as, so that no field is negative: `2^(B-1)`.
    pub(super) fn value_offset(&self) -> u64 {
        1 << (self.value_bits() - 1)
    }

    /// The largest quantised value: `2^(B-1) - 1`.
    pub fn largest_value(&self) -> u64 {
        self.value_offset() - 1
    }

    pub(super) fn fields_per_chunk(&self) -> usize {
        self.format.fields() * RING_DEGREE
    }

    /// L: the fields that hold a value or a digit, the first of all fields.
    pub(super) fn occupied_fields(&self) -> usize {
        self.values + self.digits()
    }

    /// All digits of all counters.
    pub(super) fn digits(&self) -> usize {
        self.counter_digits.iter().copied().map(usize::from).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use FieldFormat::{ThreeBy16, TwoBy24};

    #[test]
    fn chunks_are_those_of_the_protocol() {
        let chunks = |values, digits: &[u8], format| {
            SumShape::new(values, digits, format, 10).map(|shape| shape.message_chunks())
        };
        // PROTOCOL 3.4: 4.2M values of two fields give 513 chunks.
        assert_eq!(chunks(4_200_000, &[3, 3], TwoBy24), Ok(513));
        assert_eq!(chunks(0, &[3], TwoBy24), Ok(1));
        // The last field is used before a further chunk begins.
        assert_eq!(chunks(8192 - 6, &[3, 3], TwoBy24), Ok(1));
        assert_eq!(chunks(8192 - 5, &[3, 3], TwoBy24), Ok(2));
        assert_eq!(chunks(3 * 4096 - 1, &[1], ThreeBy16), Ok(1));
        assert_eq!(chunks(3 * 4096, &[1], ThreeBy16), Ok(2));
        // One more for the tag.
        let shape = SumShape::new(0, &[3], TwoBy24, 10).expect("a valid shape");
        assert_eq!(shape.chunks(), 2);
    }

    #[test]
    fn impossible_shapes_are_refused() {
        for joined in [0, 1, 128, usize::MAX] {
            let refused = SumShape::new(1, &[3], TwoBy24, joined);
            assert_eq!(refused, Err(SumError::Joined { joined }));
        }
        for (digits, counter) in [(&[][..], 0), (&[3, 0], 1), (&[8], 0)] {
            let refused = SumShape::new(1, digits, TwoBy24, 2);
            assert!(
                matches!(refused, Err(SumError::CounterDigits { counter: c, .. }) if c == counter)
            );
        }
        assert!(matches!(
            SumShape::new(usize::MAX, &[1], TwoBy24, 2),
            Err(SumError::TooManyValues { .. })
        ));
    }
}
