//! What each party does when: the spans of the programs' own code, noted as they end.
//!
//! ```text
//! debug_span!("sealing") in a participant -> Steps, a layer beside the log -+-> report.html: a round as a timeline
//!                                                                           '-> --trace FILE: all of them, for a viewer
//! ```
//!
//! A step is a span of the level "debug". Which hospital and round it is of, it has from the spans around it ([`host::spans`]).

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tracing::{
    Level, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id},
};
use tracing_subscriber::{
    Layer,
    filter::{self, LevelFilter},
    layer::Context,
    registry::LookupSpan,
};

/// All steps of this process, as they end. Clones share them.
#[derive(Clone)]
pub struct Steps {
    began: Instant,
    ended: Arc<Mutex<Vec<Step>>>,
}

/// Something that took a party some time.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Who did it.
    pub party: Party,
    /// Within which round; none outside of rounds.
    pub round: Option<Arc<RoundName>>,
    /// Such as `sealing`.
    pub name: &'static str,
    /// Whether it is a part of another step.
    pub is_part: bool,
    /// Since the process began.
    pub begin: Duration,
    /// Since the process began.
    pub end: Duration,
}

/// Whoever does something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Party {
    /// The coordinator.
    Coordinator,
    /// The hospital with this number.
    Hospital(u8),
}

/// A round of the protocol: some learn, some evaluate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoundName {
    /// Counts rounds of all purposes.
    pub number: u64,
    /// Such as `update`.
    pub purpose: String,
}

impl Steps {
    /// None yet; time counts from now.
    pub fn begin() -> Self {
        Self {
            began: Instant::now(),
            ended: Arc::default(),
        }
    }

    /// What notes the steps, beside a log.
    pub fn layer<S>(&self) -> impl Layer<S> + Send + Sync + use<S>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let own = |target: &str| {
            let library = target.split("::").next().unwrap_or_default();
            ["coordinator", "participant", "host"].contains(&library)
        };
        let noted = filter::filter_fn(move |metadata| metadata.is_span() && own(metadata.target()))
            .with_max_level_hint(LevelFilter::DEBUG);
        NotesSteps(self.clone()).with_filter(noted)
    }

    /// Those that have ended by now, in the order in which they began.
    pub fn so_far(&self) -> Vec<Step> {
        let mut ended = self.lock().clone();
        ended.sort_by_key(|step| (step.begin, step.end));
        ended
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Step>> {
        // Each is pushed whole.
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct NotesSteps(Steps);

/// What a span is within, kept with it.
#[derive(Clone, Default)]
struct Within {
    hospital: Option<u8>,
    round: Option<Arc<RoundName>>,
    step: bool,
}

struct Begun {
    at: Duration,
    is_part: bool,
}

impl<S> Layer<S> for NotesSteps
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else {
            return;
        };
        let around = span.parent().and_then(|parent| {
            let kept = parent.extensions();
            kept.get::<Within>().cloned()
        });
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        let around = around.unwrap_or_default();
        let is_part = around.step;
        let mut within = around;
        within.step |= *attributes.metadata().level() == Level::DEBUG;
        within.hospital = fields.hospital.or(within.hospital);
        let round = fields.number.zip(fields.purpose);
        let round = round.map(|(number, purpose)| Arc::new(RoundName { number, purpose }));
        within.round = round.or(within.round);
        let mut kept = span.extensions_mut();
        kept.insert(within);
        kept.insert(Begun {
            at: self.0.began.elapsed(),
            is_part,
        });
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let Some(span) = context.span(&id) else {
            return;
        };
        let metadata = span.metadata();
        let kept = span.extensions();
        let (Some(within), Some(begun)) = (kept.get::<Within>(), kept.get::<Begun>()) else {
            return;
        };
        let party = match within.hospital {
            Some(hospital) => Party::Hospital(hospital),
            None if metadata.target().starts_with("coordinator") => Party::Coordinator,
            // Before it has a run.
            None => return,
        };
        if *metadata.level() == Level::DEBUG {
            self.0.lock().push(Step {
                party,
                round: within.round.clone(),
                name: metadata.name(),
                is_part: begun.is_part,
                begin: begun.at,
                end: self.0.began.elapsed(),
            });
        }
    }
}

/// Of those spans that say where one is.
#[derive(Default)]
struct Fields {
    hospital: Option<u8>,
    number: Option<u64>,
    purpose: Option<String>,
}

impl Visit for Fields {
    fn record_u64(&mut self, field: &Field, value: u64) {
        match field.name() {
            "hospital" => self.hospital = u8::try_from(value).ok(),
            "number" => self.number = Some(value),
            _ => {}
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "purpose" {
            self.purpose = Some(format!("{value:?}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use crypto::sealed_sum::HospitalId;
    use host::spans;
    use protocol::{digests::RunId, manifest::Purpose};
    use tracing::{debug_span, subscriber::with_default};
    use tracing_subscriber::{Registry, layer::SubscriberExt as _};

    use super::*;

    #[test]
    fn a_step_is_told_with_its_hospital_and_round_and_a_log_line_is_none() {
        let steps = Steps::begin();
        let log = Registry::default().with(steps.layer());
        assert_eq!(Subscriber::max_level_hint(&log), Some(LevelFilter::DEBUG));
        with_default(log, || {
            let hospital = HospitalId::new(3).expect("in range");
            let run = spans::run_at(hospital, &RunId::from([7; 32]));
            let round = spans::round(&run, 5.into(), Purpose::Update);
            let outer = debug_span!(target: "participant::shell", parent: &round, "opening");
            let inner = debug_span!(target: "participant::shell", parent: &outer, "adding");
            tracing::debug!(target: "participant::shell", "a line");
            drop((outer, inner));
            drop(debug_span!(target: "coordinator::service", "sum"));
            drop(debug_span!(target: "participant::shell", "before a run"));
            drop(debug_span!(target: "quinn", parent: &round, "another library"));
        });
        let told = steps.so_far();
        let names: Vec<_> = { told.iter() }
            .map(|step| {
                (
                    step.party,
                    step.round.as_deref().cloned(),
                    step.name,
                    step.is_part,
                )
            })
            .collect();
        let round = Some(RoundName {
            number: 5,
            purpose: "update".to_owned(),
        });
        let hospital = Party::Hospital(3);
        assert_eq!(
            names,
            [
                (hospital, round.clone(), "opening", false),
                (hospital, round, "adding", true),
                (Party::Coordinator, None, "sum", false),
            ]
        );
        assert!(told.iter().all(|step| step.begin <= step.end));
        assert!(told[0].begin <= told[1].begin && told[1].end <= told[0].end);
    }
}
