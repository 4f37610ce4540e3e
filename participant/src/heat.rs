//! Where the common model looks, after each evaluation: asked of the trainer once its counts have gone to the vault. The next job
//! waits behind them, for milliseconds and 30 seconds at the most. The vault knows nothing of it.

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

    /// Has the trainer make them. It may fail at this once.
    pub(crate) fn make(
        &mut self,
        job: HeatJob,
        is_over: impl Fn() -> bool,
        heat: impl FnOnce(HeatRequest, &mut dyn JobWatcher) -> Result<HeatedSlices, TrainerFailure>,
    ) -> Option<OwnHeat> {
        let mut watcher = UntilOver(&is_over);
        match heat(job.request, &mut watcher) {
            Ok(slices) => Some(OwnHeat {
                learning_round: job.learning_round,
                task: job.task,
                slices,
            }),
            Err(_) if is_over() => None,
            Err(failure) => {
                self.is_wanted = false;
                // What a trainer says of its pictures is not for a collector of spans.
                tracing::warn!(
                    parent: None,
                    "the page gets no pictures of where the model looks until this participant is started again; the run goes on without \
                     them: {failure}"
                );
                None
            }
        }
    }
}

/// The shell waits for pictures until it has gone.
struct UntilOver<'a, F>(&'a F);

impl<F: Fn() -> bool> JobWatcher for UntilOver<'_, F> {
    fn moved(&mut self, _: JobProgress) {}

    fn is_stopped(&self) -> bool {
        (self.0)()
    }
}

#[cfg(test)]
mod tests {
    use protocol::{digests::RoundNumber, manifest::testing::manifest, training_job::TrainingPlan};

    use super::*;

    fn evaluation() -> EvaluateRequest {
        EvaluateRequest {
            round: RoundNumber::new(1),
            model: vec![0.5; 3],
            inputs: None,
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
}
