//! Several logs of one training, told alike.

use std::time::SystemTime;

use crate::{Ending, LogError, Name, TrainingLog};

/// Each is told everything, in their order; one that fails keeps nothing from the others. The first error is given.
pub struct Together(pub Vec<Box<dyn TrainingLog>>);

impl Together {
    fn tell(
        &mut self,
        tell: impl FnMut(&mut Box<dyn TrainingLog>) -> Result<(), LogError>,
    ) -> Result<(), LogError> {
        first_error(self.0.iter_mut().map(tell))
    }
}

impl TrainingLog for Together {
    fn scalar(
        &mut self,
        tag: &Name,
        step: u32,
        value: f64,
        at: SystemTime,
    ) -> Result<(), LogError> {
        self.tell(|log| log.scalar(tag, step, value, at))
    }

    fn text(&mut self, tag: &Name, step: u32, text: &str, at: SystemTime) -> Result<(), LogError> {
        self.tell(|log| log.text(tag, step, text, at))
    }

    fn param(&mut self, name: &Name, value: &str, at: SystemTime) -> Result<(), LogError> {
        self.tell(|log| log.param(name, value, at))
    }

    fn finish(self: Box<Self>, ending: Ending, at: SystemTime) -> Result<(), LogError> {
        first_error(self.0.into_iter().map(|log| log.finish(ending, at)))
    }
}

fn first_error(results: impl Iterator<Item = Result<(), LogError>>) -> Result<(), LogError> {
    // All of them run before one counts.
    let all: Vec<_> = results.collect();
    all.into_iter().collect()
}
