//! Which sum comes next (PROTOCOL.md 3.3): one `stats`, then an `update` and an `evaluation` for each learning round.

use protocol::{digests::LearningRound, manifest::Purpose};

/// A sum of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PlannedSum {
    pub(super) purpose: Purpose,
    /// From 1; 0 for `stats`.
    pub(super) learning_round: LearningRound,
}

/// How far a run of so many learning rounds is.
#[derive(Debug)]
pub(super) struct Plan {
    learning_rounds: u32,
    /// Sums that are done with: opened, or an evaluation that was left out.
    done: u32,
    /// Whether the hospitals have ended the run before its last round.
    is_stopped: bool,
}

impl Plan {
    pub(super) fn new(learning_rounds: u32) -> Self {
        Self {
            learning_rounds,
            done: 0,
            is_stopped: false,
        }
    }

    /// All of them.
    pub(super) fn learning_rounds(&self) -> u32 {
        self.learning_rounds
    }

    /// The next sum; none when the run has all it wants.
    pub(super) fn next(&self) -> Option<PlannedSum> {
        let learning_round = self.done.div_ceil(2);
        let purpose = match self.done {
            0 => Purpose::Stats,
            done if done % 2 == 1 => Purpose::Update,
            _ => Purpose::Evaluation,
        };
        let is_due = learning_round <= self.learning_rounds && !self.is_stopped;
        is_due.then_some(PlannedSum {
            purpose,
            learning_round: LearningRound::new(learning_round),
        })
    }

    /// The next sum is done with.
    pub(super) fn advance(&mut self) {
        self.done = self.done.saturating_add(1);
    }

    /// The learning round of the sum that was done with last.
    pub(super) fn last_round(&self) -> LearningRound {
        LearningRound::new(self.done.saturating_sub(1).div_ceil(2))
    }

    /// The sum before did not open: it comes next once more.
    pub(super) fn step_back(&mut self) {
        self.done = self.done.saturating_sub(1);
    }

    /// No learning round follows this one. A run does not become longer by it.
    pub(super) fn end_after(&mut self, learning_round: LearningRound) {
        self.learning_rounds = self.learning_rounds.min(learning_round.get());
    }

    /// The hospitals have ended the run: nothing follows.
    pub(super) fn stop(&mut self) {
        self.is_stopped = true;
    }

    /// Whether the hospitals have ended the run.
    pub(super) fn is_stopped(&self) -> bool {
        self.is_stopped
    }

    /// Goes on to the next sum of this purpose: a header of a run that is taken up again tells which evaluations were left out. False
    /// if no such sum can come next, as only an evaluation is ever left out.
    pub(super) fn skip_to(&mut self, purpose: Purpose) -> bool {
        let comes_next = |plan: &Self| plan.next().is_some_and(|next| next.purpose == purpose);
        if !comes_next(self)
            && self
                .next()
                .is_some_and(|next| next.purpose == Purpose::Evaluation)
        {
            self.advance();
        }
        comes_next(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(mut plan: Plan) -> Vec<(Purpose, u32)> {
        let mut sums = Vec::new();
        while let Some(next) = plan.next() {
            sums.push((next.purpose, next.learning_round.get()));
            plan.advance();
        }
        sums
    }

    #[test]
    fn statistics_come_first_then_an_update_and_an_evaluation_a_round() {
        let expected = [
            (Purpose::Stats, 0),
            (Purpose::Update, 1),
            (Purpose::Evaluation, 1),
            (Purpose::Update, 2),
            (Purpose::Evaluation, 2),
        ];
        assert_eq!(all(Plan::new(2)), expected);
        assert_eq!(all(Plan::new(1)), expected[..3]);
    }

    #[test]
    fn nothing_follows_once_the_hospitals_have_ended_the_run() {
        let mut plan = Plan::new(2);
        (0..3).for_each(|_| plan.advance());
        plan.stop();
        assert_eq!(plan.next(), None);
        assert!(!plan.skip_to(Purpose::Update));
    }

    #[test]
    fn a_run_that_ends_earlier_has_the_evaluation_of_its_last_round() {
        let mut plan = Plan::new(3);
        plan.end_after(LearningRound::new(1));
        plan.end_after(LearningRound::new(2));
        let expected = [
            (Purpose::Stats, 0),
            (Purpose::Update, 1),
            (Purpose::Evaluation, 1),
        ];
        assert_eq!(all(plan), expected);
    }

    #[test]
    fn only_an_evaluation_is_skipped() {
        let mut plan = Plan::new(2);
        assert!(!plan.skip_to(Purpose::Update), "statistics come first");
        assert!(plan.skip_to(Purpose::Stats));
        plan.advance();
        assert!(!plan.skip_to(Purpose::Evaluation), "an update comes first");
        plan.advance();
        assert!(plan.skip_to(Purpose::Update));
        assert_eq!(plan.next().map(|next| next.learning_round.get()), Some(2));
        plan.advance();
        assert!(!plan.skip_to(Purpose::Update), "there is no third round");
    }
}
