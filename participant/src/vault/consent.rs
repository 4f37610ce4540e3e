//! Whether this hospital takes part in a run: its policy first, then what people here have decided.

use protocol::{manifest::CheckedManifest, roster::Roster};

use super::{error::VaultError, policy::Policy};
use crate::approvals::{Approvals, Decision, NobodyIsAsked};

/// A policy, and where decisions are kept.
pub struct Consent {
    pub(super) policy: Policy,
    approvals: Box<dyn Approvals>,
}

impl Consent {
    /// With decisions that are kept elsewhere.
    pub fn new(policy: Policy, approvals: Box<dyn Approvals>) -> Self {
        Self { policy, approvals }
    }

    /// Whatever the policy accepts is approved: for simulations and tests.
    pub fn by_policy_alone(policy: Policy) -> Self {
        Self::new(policy, Box::new(NobodyIsAsked))
    }

    /// The policy's word. A refusal is kept for people to look at.
    pub(super) fn check(
        &mut self,
        run: &CheckedManifest,
        roster: &Roster,
    ) -> Result<(), VaultError> {
        let Err(violation) = self.policy.check(run, roster) else {
            return Ok(());
        };
        self.approvals.note_refusal(run, &violation.to_string())?;
        Err(violation.into())
    }

    /// Whether somebody has agreed to a run that this hospital has yet to join. False while nothing is decided.
    pub(super) fn is_given(&mut self, run: &CheckedManifest) -> Result<bool, VaultError> {
        is_yes(self.approvals.of_offered(run)?)
    }

    /// The same of a run that this hospital is in.
    pub(super) fn is_kept(&mut self, run: &CheckedManifest) -> Result<bool, VaultError> {
        is_yes(self.approvals.of_begun(run)?)
    }
}

fn is_yes(decision: Decision) -> Result<bool, VaultError> {
    match decision {
        Decision::Approved => Ok(true),
        Decision::Awaited => Ok(false),
        Decision::Rejected { reason } => Err(VaultError::Rejected { reason }),
    }
}
