//! A run without protection, and what every hospital has given to it: what the protocol hides. For who attacks it, and compares what was
//! found with the truth.

use std::{collections::BTreeMap, sync::Arc};

use crypto::sealed_sum::HospitalId;
use participant::vault::statistics::own_counters;
use protocol::counters::StatsCounters;

use super::{
    data,
    options::{SimulateOptions, UpdatesName},
    plain_updates::{self, RoundAsGiven},
    plan::Plan,
    progress::Progress,
};

/// What is known of the hospitals when the run is over.
pub struct AsGiven {
    /// What each has put into the sum of the statistics.
    pub statistics: BTreeMap<HospitalId, StatsCounters>,
}

/// Trains by these options, but without protection, and shows every round as it was given.
///
/// # Errors
/// Options that do not fit together, data that cannot be used, a hospital that cannot train.
pub fn as_given(
    options: &SimulateOptions,
    progress: &Progress,
    show: &mut dyn FnMut(&RoundAsGiven<'_>),
) -> anyhow::Result<AsGiven> {
    let mut plan = Plan::new(&SimulateOptions {
        updates: UpdatesName::Plain,
        ..options.clone()
    })?;
    let (_, data) = data(&mut plan, progress)?;
    let manifest = Arc::new(plan.run.manifest());
    let (mut images, mut records) = (Vec::new(), BTreeMap::new());
    for hospital in data {
        images.push((hospital.id, hospital.images));
        records.insert(hospital.id, hospital.records);
    }
    let finished = plain_updates::run_and_show(&plan, &manifest, images, &records, progress, show);
    progress.clear();
    finished?;
    let statistics = records
        .iter()
        .map(|(id, records)| (*id, own_counters(records)));
    Ok(AsGiven {
        statistics: statistics.collect(),
    })
}
