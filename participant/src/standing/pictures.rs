//! The pictures of the last evaluation. They are beside the board and not on it: what is on it goes out as JSON, each time it changes.

use std::sync::{Arc, Mutex, PoisonError};

use crate::own_results::OwnHeat;

/// Of the last round alone, in memory. Clones share them.
#[derive(Clone, Default)]
pub struct LastPictures(Arc<Mutex<Option<Arc<OwnHeat>>>>);

impl LastPictures {
    /// The ones before are forgotten.
    pub(super) fn keep(&self, heat: Arc<OwnHeat>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(heat);
    }

    /// None before the first evaluation.
    pub fn seen(&self) -> Option<Arc<OwnHeat>> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

#[cfg(test)]
mod tests {
    use protocol::{digests::LearningRound, labels::Task};

    use super::*;

    #[test]
    fn only_the_last_pictures_are_kept() {
        let pictures = LastPictures::default();
        assert!(pictures.seen().is_none());
        let of = |round| {
            Arc::new(OwnHeat {
                learning_round: LearningRound::new(round),
                task: Task::Binary,
                slices: Default::default(),
            })
        };
        let first = of(1);
        pictures.keep(Arc::clone(&first));
        pictures.keep(of(2));
        assert_eq!(Arc::strong_count(&first), 1, "nobody holds them");
        let seen = pictures.seen().map(|seen| seen.learning_round);
        assert_eq!(seen, Some(LearningRound::new(2)));
    }
}
