//! What a run would send, before it sends anything: every object from the encoders that a run uses, by stage.
//!
//! It tells of a run in which every hospital of the roster takes part, nobody drops out and no connection is lost. What is sent again
//! after a cut, and what helps a hospital that comes late, is not in it. Of acknowledgements it has the most that there can be: one may
//! stand for some. Objects are made of this hospital's real number of patients,
//! under keys that are made for this and thrown away; nothing of them is kept or sent.

mod objects;

use std::num::NonZeroU32;

use crypto::sealed_sum::{HospitalId, SumError};
use protocol::{
    codec::{List, Text},
    digests::RunId,
    features::FeatureSchema,
    identity::{Signed, SigningKey},
    manifest::{
        Conditioning, ConditioningForm, FIXED_CLIPS, Keep, LabelScheme, Manifest, Purpose, Task,
    },
    network::ModelLayout,
    roster::Roster,
    strategy::Strategy,
};

use self::objects::Encoder;
use crate::{
    ledger::Object,
    vault::{RecordSource, UnusableRecords, records_of},
};

/// What leaves in each stage of a run.
pub struct Forecast {
    /// In their order.
    pub stages: Vec<Stage>,
    /// A sign of life, every [`HEARTBEAT_SECS`] while there is a connection.
    pub heartbeat: Line,
}

/// A stage.
pub struct Stage {
    /// When.
    pub when: When,
    /// What leaves.
    pub lines: Vec<Line>,
}

/// When something leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Once, before the first learning round.
    BeforeTheFirstRound,
    /// In the first learning round.
    FirstRound,
    /// In each of so many more.
    FurtherRounds(NonZeroU32),
    /// Each of so many times that the weights which meet the features have moved, after the first round.
    NewWeights(NonZeroU32),
    /// Each of so many times that the key of the features is worn out, and another one takes its place.
    AnotherKey(NonZeroU32),
}

/// Objects of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// What they are.
    pub object: Object,
    /// How many.
    pub objects: u64,
    /// The least and the greatest length of one.
    pub bytes_each: (u64, u64),
    /// Bytes of all.
    pub bytes: u64,
}

/// What a forecast is about.
pub struct Outlook<'a> {
    /// The federation.
    pub roster: &'a Roster,
    /// This hospital.
    pub id: HospitalId,
    /// The run's settings.
    pub manifest: &'a Manifest,
    /// This hospital's clinical table.
    pub records: &'a dyn RecordSource,
}

/// Why there is no forecast.
#[derive(Debug, thiserror::Error)]
pub enum ForecastError {
    /// The data cannot be used for such a run.
    #[error("this hospital's data cannot be used for such a run: {0}")]
    Records(UnusableRecords),
    /// So many hospitals or values cannot be summed.
    #[error("no sum fits this roster and this run: {0}")]
    Sum(#[from] SumError),
}

impl Outlook<'_> {
    /// Makes every object once, and measures it.
    ///
    /// # Errors
    /// [`ForecastError`].
    pub fn forecast(&self) -> Result<Forecast, ForecastError> {
        let records = records_of(self.records, self.manifest).map_err(ForecastError::Records)?;
        let mut encoder = Encoder::new(self, &records)?;
        let before = [encoder.set_up(), encoder.sum(Purpose::Stats, 0)?].concat();
        let every = self.manifest.conditioning_every;
        let first = [
            encoder.key_and_features(),
            // One for the model that is trained; if the weights move at once, one for the model that is evaluated.
            encoder.filter_requests(if every == 1 { 2 } else { 1 }),
            encoder.sum(Purpose::Update, 1)?,
            encoder.sum(Purpose::Evaluation, 1)?,
        ];
        let mut stages = vec![
            Stage {
                when: When::BeforeTheFirstRound,
                lines: before,
            },
            Stage {
                when: When::FirstRound,
                lines: first.concat(),
            },
        ];
        if let Some(further) = NonZeroU32::new(self.manifest.rounds.saturating_sub(1)) {
            let lines = [
                encoder.filter_requests(usize::from(every == 1)),
                encoder.sum(Purpose::Update, 2)?,
                encoder.sum(Purpose::Evaluation, 2)?,
            ];
            stages.push(Stage {
                when: When::FurtherRounds(further),
                lines: lines.concat(),
            });
        }
        let moved = self.manifest.conditioning_versions().saturating_sub(1);
        if let Some(times) = NonZeroU32::new(moved).filter(|_| every > 1) {
            stages.push(Stage {
                when: When::NewWeights(times),
                lines: encoder.filter_requests(1),
            });
        }
        if let Some(times) = NonZeroU32::new(encoder.worn_out_keys()) {
            stages.push(Stage {
                when: When::AnotherKey(times),
                lines: encoder.key_and_features(),
            });
        }
        Ok(Forecast {
            stages,
            heartbeat: encoder.heartbeat(),
        })
    }

    fn run(&self) -> RunId {
        // Of a manifest that nobody has signed, too.
        let key = SigningKey::from_secret_bytes(&[0; 32]);
        Signed::sign(self.manifest, &key).digest()
    }
}

impl Stage {
    /// How often it happens in the run.
    pub fn times(&self) -> u32 {
        match self.when {
            When::BeforeTheFirstRound | When::FirstRound => 1,
            When::FurtherRounds(times) | When::NewWeights(times) | When::AnotherKey(times) => {
                times.get()
            }
        }
    }

    /// Objects and bytes of it, once.
    pub fn total(&self) -> (u64, u64) {
        let add = |(objects, bytes), line: &Line| (objects + line.objects, bytes + line.bytes);
        self.lines.iter().fold((0, 0), add)
    }
}

impl Forecast {
    /// Objects and bytes of the whole run, without signs of life.
    pub fn total(&self) -> (u64, u64) {
        self.stages.iter().fold((0, 0), |(objects, bytes), stage| {
            let (more_objects, more_bytes) = stage.total();
            let times = u64::from(stage.times());
            (objects + times * more_objects, bytes + times * more_bytes)
        })
    }
}

/// The settings of a run of these features that an operator has changed nothing else of: what `coordinator.toml` shows.
pub fn usual_manifest(features: FeatureSchema) -> Manifest {
    let task = Task::Binary;
    // Filters have a place for nine features.
    let conditioning_form = match ConditioningForm::Study.takes(features.count()) {
        true => ConditioningForm::Study,
        false => ConditioningForm::Late,
    };
    Manifest {
        name: Text("demo".into()),
        task,
        label_scheme: LabelScheme::AsWritten,
        conditioning: Conditioning::EncryptedHardened,
        conditioning_form,
        conditioning_every: 1,
        layout: ModelLayout::of(task.classes() as u32, conditioning_form, features.count()),
        features,
        nonce: [0; 32],
        init_seed: [0; 32],
        rounds: 8,
        local_epochs: 2,
        batch_size: 32,
        learning_rate: 1e-3,
        weight_decay: 1e-2,
        conditioning_rate: conditioning_form.usual_rate(),
        strategy: Strategy::FedAvg,
        local_steps: 200,
        silence_secs: 30,
        straggler_floor_secs: 600,
        straggler_factor: 10.0,
        weights: List::default(),
        clip_rule: FIXED_CLIPS,
        keep: Keep::BestLoss,
        early_stop: None,
        initial_model: None,
        start_with: None,
    }
}

/// Seconds between two signs of life.
pub const HEARTBEAT_SECS: u64 = crate::shell::HEARTBEAT.as_secs();

#[cfg(test)]
mod tests {
    use coordinator::settings::RunSettings;

    use super::*;

    #[test]
    fn what_is_usual_is_what_the_coordinators_settings_show() {
        let theirs = RunSettings::default().manifest();
        let ours = Manifest {
            nonce: theirs.nonce,
            init_seed: theirs.init_seed,
            ..usual_manifest(FeatureSchema::study())
        };
        assert_eq!(ours, theirs);
    }

    /// Of any number of features that a hospital may read.
    #[test]
    fn what_is_usual_is_a_run_that_can_be() {
        for count in [1, 4, 9, 12] {
            let features: Vec<_> = (0..count)
                .map(|number| format!("score {number}: 0..1"))
                .collect();
            let features = FeatureSchema::parse(&features).expect("features");
            assert_eq!(usual_manifest(features).check(), Ok(()), "{count}");
        }
    }
}
