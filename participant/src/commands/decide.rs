//! `participant approve` and `participant reject`.

use anyhow::anyhow;
use clap::Args;
use host::{failure::Failure, output::say};
use participant::approvals::{
    Decision,
    shown::{can_be_approved, name_of, reason, short_id},
    store::Verdict,
};

use super::consent::Which;

/// Agrees to a run that was offered to this hospital: a participant that waits with it joins within seconds.
///
/// The decision is about this run alone: one in which anything is different has another ID and is asked about again. A run that the
/// policy refuses cannot be approved, nor one that starts from a model that is not here yet. Look at it before, with participant runs show.
#[derive(Args)]
pub struct Approve {
    /// The run's ID, or the beginning of it.
    #[arg(value_name = "ID")]
    id: String,

    #[command(flatten)]
    which: Which,
}

/// Declines a run that was offered to this hospital: a participant that waits with it ends with exit code 2, and the coordinator's
/// operator is told the reason.
///
/// A participant that is in the run already stays in it until it is stopped, and is not let into it again.
#[derive(Args)]
pub struct Reject {
    /// The run's ID, or the beginning of it.
    #[arg(value_name = "ID")]
    id: String,

    /// Why. The operator reads it.
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    reason: String,

    #[command(flatten)]
    which: Which,
}

impl Approve {
    /// Runs the command.
    pub fn execute(self) -> Result<(), Failure> {
        let mut hospital = self.which.open()?;
        let run = hospital.run(&self.id)?;
        let manifest = hospital.check(&run)?;
        can_be_approved(&manifest, &hospital.roster, &hospital.settings)
            .map_err(|why| Failure::Settings(anyhow!(why)))?;
        let (id, name) = (short_id(&run.run), name_of(&run));
        if run.decision() == Decision::Approved {
            say(format_args!("run {id} ({name}) was approved before"));
            return Ok(());
        }
        hospital.decide(&run.run, Verdict::Approved, "")?;
        say(format_args!("approved run {id} ({name})"));
        Ok(())
    }
}

impl Reject {
    /// Runs the command.
    pub fn execute(self) -> Result<(), Failure> {
        let mut hospital = self.which.open()?;
        let run = hospital.run(&self.id)?;
        hospital.decide(&run.run, Verdict::Rejected, &self.reason)?;
        let (id, name) = (short_id(&run.run), name_of(&run));
        say(format_args!("rejected run {id} ({name})"));
        if run.decision() == Decision::Approved {
            say(
                "it was approved before: a participant that is in it stays there until it is stopped",
            );
        }
        Ok(())
    }
}
