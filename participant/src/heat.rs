//! Where the common model looks, after each evaluation: asked of the trainer once its counts have gone to the vault, so that no round
//! waits for a picture. The vault knows nothing of it.

use std::time::{Duration, Instant};

use protocol::{
    digests::LearningRound,
    labels::Task,
    training_job::{
        EvaluateRequest, HeatRequest, HeatedSlices, JobProgress, JobWatcher, TrainerFailure,
    },
};

use crate::own_results::OwnHeat;

/// Makes pictures as long as somebody can see them and the trainer can make them.
pub(crate) struct HeatMaker {
    is_wanted: bool,
}

/// Pictures that may be made.
pub(crate) struct HeatJob {
    learning_round: LearningRound,
    task: Task,
    request: HeatRequest,
}

impl HeatMaker {
    /// `is_shown`: there is a page.
    pub(crate) fn new(is_shown: bool) -> Self {
        Self {
            is_wanted: is_shown,
        }
    }

    /// What to ask about the model of an evaluation; nothing where nobody would see it.
    pub(crate) fn about(
        &self,
        learning_round: LearningRound,
        evaluation: &EvaluateRequest,
    ) -> Option<HeatJob> {
        self.is_wanted.then(|| HeatJob {
            learning_round,
            task: evaluation.plan.labels.task,
            request: HeatRequest::about(evaluation),
        })
    }

    /// Has the trainer make them. It may fail at this once: a trainer that cannot make pictures must not be started again and again for
    /// their sake.
    pub(crate) fn make(
        &mut self,
        job: HeatJob,
        is_over: impl Fn() -> bool,
        heat: impl FnOnce(HeatRequest, &mut dyn JobWatcher) -> Result<HeatedSlices, TrainerFailure>,
    ) -> Option<OwnHeat> {
        let mut patience = Patience {
            began: Instant::now(),
            is_restarted: false,
            is_over: &is_over,
        };
        match heat(job.request, &mut patience) {
            Ok(slices) => Some(OwnHeat {
                learning_round: job.learning_round,
                task: job.task,
                slices,
            }),
            Err(_) if is_over() => None,
            Err(failure) => {
                self.is_wanted = false;
                tracing::warn!(
                    "the page gets no pictures of where the model looks until this participant is started again; the run goes on without \
                     them: {failure}"
                );
                None
            }
        }
    }
}

/// Waits for pictures not as long as for other jobs: the next one waits behind them.
struct Patience<'a, F> {
    began: Instant,
    /// The trainer was lost. Whoever comes next would have to wait for its scans as well.
    is_restarted: bool,
    is_over: &'a F,
}

impl<F: Fn() -> bool> JobWatcher for Patience<'_, F> {
    fn moved(&mut self, progress: JobProgress) {
        self.is_restarted |= matches!(progress, JobProgress::Restarted);
    }

    fn is_stopped(&self) -> bool {
        (self.is_over)() || (!self.is_restarted && self.began.elapsed() > TO_LOOK)
    }
}

/// It takes milliseconds.
const TO_LOOK: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use protocol::{digests::RoundNumber, manifest::testing::manifest, training_job::TrainingPlan};

    use super::*;

    fn evaluation() -> EvaluateRequest {
        EvaluateRequest {
            round: RoundNumber::new(1),
            model: vec![0.5; 3],
            filters: None,
            plan: TrainingPlan::of(&manifest()),
        }
    }

    fn failure() -> Result<HeatedSlices, TrainerFailure> {
        Err(TrainerFailure("no memory".into()))
    }

    #[test]
    fn where_there_is_no_page_no_picture_is_asked_for() {
        let nobody = HeatMaker::new(false);
        assert!(nobody.about(LearningRound::new(1), &evaluation()).is_none());
    }

    #[test]
    fn a_trainer_that_cannot_make_pictures_is_asked_once() {
        let mut maker = HeatMaker::new(true);
        let round = LearningRound::new(1);
        let job = maker.about(round, &evaluation()).expect("wanted");
        let made = maker.make(
            job,
            || false,
            |request, _| {
                assert!(request.model == [0.5; 3]);
                Ok(HeatedSlices::default())
            },
        );
        assert!(made.is_some_and(|made| made.learning_round == round));
        let job = maker.about(round, &evaluation()).expect("wanted");
        assert!(maker.make(job, || false, |_, _| failure()).is_none());
        assert!(maker.about(round, &evaluation()).is_none());
    }

    #[test]
    fn one_that_was_stopped_with_its_run_has_not_failed() {
        let mut maker = HeatMaker::new(true);
        let round = LearningRound::new(1);
        let job = maker.about(round, &evaluation()).expect("wanted");
        assert!(maker.make(job, || true, |_, _| failure()).is_none());
        assert!(maker.about(round, &evaluation()).is_some());
    }

    #[test]
    fn pictures_that_do_not_come_are_not_waited_for_unless_the_trainer_is_started_again() {
        let long_ago = Instant::now().checked_sub(TO_LOOK + Duration::from_secs(1));
        let mut patience = Patience {
            began: long_ago.expect("a machine that runs for longer"),
            is_restarted: false,
            is_over: &|| false,
        };
        assert!(patience.is_stopped());
        patience.moved(JobProgress::Restarted);
        assert!(!patience.is_stopped());
        patience.began = Instant::now();
        patience.is_restarted = false;
        assert!(!patience.is_stopped());
    }
}
