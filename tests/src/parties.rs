//! All processes of a run.

use std::{process::Command, time::Duration};

use super::{Running, text_field};

/// A coordinator and its hospitals, by number from 1 on.
pub struct Parties {
    /// The coordinator.
    pub coordinator: Running,
    /// The hospitals.
    pub hospitals: Vec<Running>,
}

impl Parties {
    /// Starts them all.
    ///
    /// # Panics
    /// If one cannot be started.
    pub fn start(coordinator: &mut Command, hospitals: impl IntoIterator<Item = Command>) -> Self {
        let start = |(number, mut command): (u8, Command)| start_hospital(number, &mut command);
        Self {
            coordinator: Running::start("coordinator", coordinator),
            hospitals: (1..).zip(hospitals).map(start).collect(),
        }
    }

    /// A hospital.
    pub fn hospital(&self, number: u8) -> &Running {
        &self.hospitals[usize::from(number) - 1]
    }

    /// Ends the coordinator as a power failure would, and starts another one at once.
    ///
    /// # Panics
    /// If that cannot be done.
    pub fn replace_coordinator(&mut self, command: &mut Command) {
        let killed = std::mem::replace(&mut self.coordinator, Running::nothing());
        killed.kill();
        self.coordinator = Running::start("coordinator", command);
    }

    /// Ends a hospital as a power failure would, and starts another one at once.
    ///
    /// # Panics
    /// If that cannot be done.
    pub fn replace_hospital(&mut self, number: u8, command: &mut Command) {
        let place = &mut self.hospitals[usize::from(number) - 1];
        let killed = std::mem::replace(place, Running::nothing());
        killed.kill();
        *place = start_hospital(number, command);
    }

    /// Waits until all have ended well, and gives the hash of the model that all of them hold.
    ///
    /// # Panics
    /// If one has not, or holds another model.
    pub fn finish(self, patience: Duration) -> String {
        let (succeeded, summary) = self.coordinator.finish(patience);
        assert!(succeeded);
        let hash = text_field(&summary, "model_hash").expect("the last line names the model");
        for hospital in self.hospitals {
            let (succeeded, line) = hospital.finish(patience);
            assert!(succeeded);
            assert_eq!(text_field(&line, "model_hash").as_ref(), Some(&hash));
        }
        hash
    }
}

fn start_hospital(number: u8, command: &mut Command) -> Running {
    Running::start(format!("hospital {number}"), command)
}
