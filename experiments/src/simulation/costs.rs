//! What a run costs, over all processes that it took: each reports what it has come to so far, from zero.

use std::collections::BTreeMap;

use coordinator::service::Spent;
use crypto::sealed_sum::HospitalId;
use participant::shell::RunCost;

/// Time and bytes of a run, by hospital, summed over its processes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Costs {
    before: Total,
    hospitals: BTreeMap<HospitalId, RunCost>,
    /// Adding and conditioning, in seconds.
    coordinator: (f64, f64),
}

/// Over all hospitals, and of the coordinator.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Total {
    /// Of the hospitals.
    pub hospitals: RunCost,
    /// Of the coordinator, in seconds.
    pub adding: f64,
    /// Of the coordinator, in seconds.
    pub conditioning: f64,
}

impl Costs {
    /// A hospital has come to this in the process at hand.
    pub fn of_hospital(&mut self, id: HospitalId, cost: RunCost) {
        self.hospitals.insert(id, cost);
    }

    /// The coordinator has come to this in the process at hand.
    pub fn of_coordinator(&mut self, spent: Spent) {
        self.of_coordinator_secs(spent.adding.as_secs_f64(), spent.conditioning.as_secs_f64());
    }

    /// The same in seconds.
    pub fn of_coordinator_secs(&mut self, adding: f64, conditioning: f64) {
        self.coordinator = (adding, conditioning);
    }

    /// Another process goes on, from zero.
    pub fn another_process(&mut self) {
        *self = Self {
            before: self.total(),
            ..Self::default()
        };
    }

    /// Of all processes.
    pub fn total(&self) -> Total {
        let mut hospitals = self.before.hospitals;
        for cost in self.hospitals.values() {
            hospitals.training_secs += cost.training_secs;
            hospitals.sealing_secs += cost.sealing_secs;
            hospitals.opening_secs += cost.opening_secs;
            hospitals.conditioning_secs += cost.conditioning_secs;
            hospitals.transport_secs += cost.transport_secs;
            hospitals.sent_bytes += cost.sent_bytes;
            hospitals.received_bytes += cost.received_bytes;
        }
        Total {
            hospitals,
            adding: self.before.adding + self.coordinator.0,
            conditioning: self.before.conditioning + self.coordinator.1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_process_counts_once_with_what_it_said_last() {
        let mut costs = Costs::default();
        let id = |number| HospitalId::new(number).expect("in range");
        let sent = |sent_bytes| RunCost {
            sent_bytes,
            training_secs: 1.0,
            ..RunCost::default()
        };
        costs.of_hospital(id(1), sent(5));
        costs.of_hospital(id(1), sent(10));
        costs.of_hospital(id(2), sent(10));
        costs.of_coordinator_secs(0.5, 0.25);
        costs.another_process();
        costs.of_hospital(id(1), sent(7));
        costs.of_coordinator_secs(1.0, 0.0);
        let total = costs.total();
        assert_eq!(
            (total.hospitals.sent_bytes, total.hospitals.training_secs),
            (27, 3.0)
        );
        assert_eq!((total.adding, total.conditioning), (1.5, 0.25));
    }
}
