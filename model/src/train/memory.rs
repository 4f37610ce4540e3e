//! What happens when a device has too little memory for a batch.

use super::TrainError;

/// How many samples a device is given at a time: as many as were asked for, or, once they have been
/// too many, half of them.
#[derive(Default)]
pub(super) struct Memory {
    halved: bool,
    /// Stands in for a small device: more samples than this are too many.
    #[cfg(test)]
    pub room_for: Option<usize>,
}

impl Memory {
    /// The samples to begin with where `samples` are asked for.
    pub fn fitting(&self, samples: usize) -> usize {
        if self.halved {
            samples.div_ceil(2)
        } else {
            samples
        }
    }

    /// Decides about work that ended with `error` when it took so many samples at a time: the number to begin again with, after a
    /// warning. It halves once; whoever holds this keeps to that.
    ///
    /// # Errors
    /// It is not memory that was lacking, or half was not enough either.
    pub fn after(&mut self, error: TrainError, samples: usize) -> Result<usize, TrainError> {
        let Some(reason) = error.exhausted() else {
            return Err(error);
        };
        if self.halved || samples < 2 {
            let reason = reason.to_owned();
            return Err(TrainError::OutOfMemory { samples, reason });
        }
        self.halved = true;
        let half = self.fitting(samples);
        tracing::warn!(
            samples,
            half,
            reason,
            "not enough memory for a batch: starting again with half the batch size, now and from now on"
        );
        Ok(half)
    }

    /// Fails as libtorch does where a device is too small; only tests have such a device.
    #[cfg_attr(
        not(test),
        expect(clippy::unused_self, reason = "only tests have such a device")
    )]
    pub fn allocate(&self, samples: usize) -> Result<(), tch::TchError> {
        #[cfg(test)]
        if self.room_for.is_some_and(|room| samples > room) {
            let text =
                "CUDA out of memory. Tried to allocate 2.00 GiB.\nException raised from malloc";
            return Err(tch::TchError::Torch(text.to_owned()));
        }
        let _ = samples;
        Ok(())
    }
}
