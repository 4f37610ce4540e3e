use std::sync::Arc;

use pulp::Arch;

use super::quantise::{check_clips, check_count, step};
use super::{ClippedTensor, OpenedSum, Reals, SumError, SumShape};

/// The weighted mean of an opened sum's values (PROTOCOL 3.7):
/// `step (sum of u - |U| 2^(B-1)) omega_max / (sum of omega over U)`, in this order of operations, so that every vault gets
/// the same bits.
///
/// It is made where it is needed, a piece at a time: as a whole it would be twice as long as the sum.
///
/// ```
/// use std::sync::Arc;
/// use crypto::sealed_sum::*;
///
/// let shape = SumShape::new(3, &[1], FieldFormat::TwoBy24, 2)?;
/// let clips = [ClippedTensor { values: 2, clip: 1.0 }, ClippedTensor { values: 1, clip: 0.5 }];
/// let offset = 2 * (1 << 22);
/// let opened = Arc::new(OpenedSum {
///     values: vec![offset, offset + 4_194_303, offset - 4_194_303],
///     counters: vec![2],
///     contributors: 2,
///     largest_noise: 0,
///     wrong_answers: vec![],
/// });
/// let mean = opened.mean(&shape, &clips, 1, 2)?;
/// assert_eq!(mean.to_vec(), [0.0, 0.5, -0.25]);
///
/// let mut last = [0.0; 2];
/// mean.read(1, &mut last);
/// assert_eq!(last, [0.5, -0.25]);
/// # Ok::<(), SumError>(())
/// ```
pub struct Mean {
    sum: Arc<OpenedSum>,
    tensors: Vec<ScaledTensor>,
    /// `|U| 2^(B-1)`.
    offset: i64,
    factor: f64,
    divisor: f64,
}

/// The values up to a number that no tensor before it has.
#[derive(Clone, Copy)]
struct ScaledTensor {
    end: usize,
    step: f64,
}

impl OpenedSum {
    /// The mean of the values, as [`Mean`] has it.
    ///
    /// # Errors
    /// If the sum was opened with another number of values than `shape` has, `clips` do not cover them or are not
    /// positive, or `weight_sum` is not one that the contributors' weights, each `1..=largest_weight`, can have.
    pub fn mean(
        self: &Arc<Self>,
        shape: &SumShape,
        clips: &[ClippedTensor],
        largest_weight: u32,
        weight_sum: u64,
    ) -> Result<Mean, SumError> {
        check_count("opened values", shape.values(), self.values.len())?;
        check_clips(shape, clips)?;
        let least_sum = self.contributors as u64;
        if weight_sum < least_sum.max(1) || weight_sum > least_sum * u64::from(largest_weight) {
            return Err(SumError::WeightSum {
                sum: weight_sum,
                contributors: self.contributors,
                largest: largest_weight,
            });
        }
        let mut end = 0;
        let tensors = clips.iter().map(|clipped| {
            end += clipped.values;
            let step = step(shape, clipped.clip);
            ScaledTensor { end, step }
        });
        Ok(Mean {
            tensors: tensors.collect(),
            offset: self.contributors as i64 * shape.value_offset() as i64,
            factor: f64::from(largest_weight),
            divisor: weight_sum as f64,
            sum: Arc::clone(self),
        })
    }
}

impl Reals for Mean {
    fn count(&self) -> usize {
        self.sum.values.len()
    }

    fn read(&self, first: usize, means: &mut [f64]) {
        let sums = &self.sum.values[first..][..means.len()];
        let mut done = 0;
        let within = self.tensors.partition_point(|tensor| tensor.end <= first);
        for tensor in &self.tensors[within..] {
            if done == means.len() {
                break;
            }
            let end = (tensor.end - first).min(means.len());
            self.scale(tensor.step, &sums[done..end], &mut means[done..end]);
            done = end;
        }
    }
}

impl Mean {
    /// All of it.
    pub fn to_vec(&self) -> Vec<f64> {
        let mut means = vec![0.0; self.count()];
        self.read(0, &mut means);
        means
    }

    fn scale(&self, step: f64, sums: &[u32], means: &mut [f64]) {
        let (offset, factor, divisor) = (self.offset, self.factor, self.divisor);
        Arch::new().dispatch(
            #[inline(always)]
            || {
                for (mean, &sum) in means.iter_mut().zip(sums) {
                    let steps = (i64::from(sum) - offset) as f64;
                    *mean = step * steps * factor / divisor;
                }
            },
        );
    }
}
