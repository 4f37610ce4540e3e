//! `coordinator run`.

use std::{fs, io, path::PathBuf};

use anyhow::{Context as _, anyhow};
use clap::{Args, Subcommand};
use coordinator::{
    control::{Answer, Request},
    settings::Settings,
    store::Store,
};
use host::{
    failure::Failure,
    key_files::NamedFile,
    output::{place_to_write, printable, say},
    run_file,
    settings::{environment, key_and_value},
    shown::Format,
};
use protocol::manifest::CheckedManifest;
use serde_json::json;

use super::{
    run_history::{Logs, Show},
    run_plan::Plan,
    status::Which,
};

/// Runs: signed by their operator, and told what to do while they are under way.
#[derive(Args)]
pub struct Run {
    #[command(subcommand)]
    command: RunCommand,
}

#[derive(Subcommand)]
enum RunCommand {
    Plan(Plan),
    Sign(Sign),
    Start(Start),
    #[command(visible_alias = "ls")]
    List(List),
    Show(Show),
    #[command(visible_alias = "log")]
    Logs(Logs),
    Pause(Pause),
    Resume(Resume),
    Stop(Stop),
    Without(Without),
}

/// Signs a run with the operator's key, wherever that is; the coordinator begins it with `coordinator serve --run FILE` and needs no
/// such key.
///
/// Nothing is sent. What is signed is shown; the hospitals see all of it, and each accepts or refuses by its own settings. Every
/// signature is another run, also of the same settings.
#[derive(Args)]
struct Sign {
    /// The settings of the run: a TOML file with the section [run] of coordinator.toml, or coordinator.toml itself.
    #[arg(value_name = "MANIFEST")]
    settings: PathBuf,

    /// The operator's private key [default: keys.operator_key of the settings].
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,

    /// The federation's roster [default: roster of the settings].
    #[arg(long, value_name = "FILE")]
    roster: Option<PathBuf>,

    /// Set any key of the settings, for example --set run.rounds=16. May be given several times. A relative path
    /// starts at the current folder.
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = key_and_value)]
    set: Vec<(String, String)>,

    /// The file to write. It must not exist yet [default: MANIFEST with the ending .signed.json].
    #[arg(short, long, value_name = "FILE", value_parser = place_to_write())]
    out: Option<PathBuf>,
}

/// Has a coordinator that is running on this machine, and waits for a run, begin this one.
///
/// The run begins with the hospitals of the roster that it was signed for, when they have joined.
#[derive(Args)]
struct Start {
    /// The signed run, as `coordinator run sign` has written it.
    file: PathBuf,

    #[command(flatten)]
    which: Which,
}

impl Start {
    fn execute(self) -> Result<(), Failure> {
        let length = fs::metadata(&self.file).map(|about| about.len());
        let file = match length {
            Ok(0..=MAX_RUN_FILE_BYTES) => fs::read_to_string(&self.file),
            Ok(_) => Err(io::Error::other("it is too long for a signed run")),
            Err(error) => Err(error),
        };
        let file = file
            .with_context(|| format!("cannot read {}", self.file.display()))
            .map_err(Failure::Settings)?;
        done(self.which.ask(Request::Start { file })?)?;
        say("the run begins; `coordinator status` shows where it stands");
        Ok(())
    }
}

/// Shows the runs of a coordinator, the last one first, and how each ended. It need not be running.
#[derive(Args)]
struct List {
    /// For people, or one JSON object.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,

    #[command(flatten)]
    which: Which,
}

impl List {
    fn execute(self) -> Result<(), Failure> {
        let database = self.which.state()?.join("coordinator.sqlite");
        let runs = match database.exists() {
            true => Store::open(&database).and_then(|store| store.runs()),
            false => Ok(Vec::new()),
        };
        let runs = runs.map_err(Failure::settings)?;
        if self.format == Format::Json {
            let runs = serde_json::to_value(&runs).context("cannot write the list");
            say(json!({"schema": 1, "runs": runs.map_err(Failure::Run)?}));
            return Ok(());
        }
        if runs.is_empty() {
            say("no run was begun here yet");
        }
        for run in runs {
            let result = run.result.as_deref().unwrap_or("under way");
            let reason = run.reason.map(|reason| format!(": {reason}"));
            say(format_args!(
                "{:<16} {:<24} learning rounds done: {}, {result}{}",
                run.run.get(..16).unwrap_or(&run.run),
                run.name,
                run.learning_rounds,
                reason.unwrap_or_default()
            ));
        }
        Ok(())
    }
}

/// Has the run of a coordinator that is running on this machine open no further sum. The one at hand is finished; the hospitals stay
/// connected and wait.
///
/// It goes on with `coordinator run resume`, or when the coordinator is started again.
#[derive(Args)]
struct Pause {
    /// The run, as `coordinator run list` shows it: its first 8 digits are enough.
    run: String,

    #[command(flatten)]
    which: Which,
}

impl Pause {
    fn execute(self) -> Result<(), Failure> {
        done(self.which.ask(Request::Pause { run: self.run })?)?;
        say(
            "no further sum is opened until `coordinator run resume`; one that is open is finished",
        );
        Ok(())
    }
}

/// Has a paused run go on.
#[derive(Args)]
struct Resume {
    /// The run, as `coordinator run list` shows it: its first 8 digits are enough.
    run: String,

    #[command(flatten)]
    which: Which,
}

impl Resume {
    fn execute(self) -> Result<(), Failure> {
        done(self.which.ask(Request::Resume { run: self.run })?)?;
        say("the run goes on");
        Ok(())
    }
}

/// Ends the run of a coordinator that is running on this machine, for all hospitals. It cannot go on later; each hospital keeps the
/// models that it has.
///
/// At once, the run has failed, and every participant ends with code 1. With --keep-best it has ended well, as if its last round were
/// the one at hand.
#[derive(Args)]
struct Stop {
    /// Finish the round at hand and its evaluation first, then end the run well: every participant ends with code 0, with the common model
    /// of that round and the best one so far (`run.keep`).
    #[arg(long)]
    keep_best: bool,

    /// The run, as `coordinator run list` shows it: its first 8 digits are enough.
    run: String,

    #[command(flatten)]
    which: Which,
}

impl Stop {
    fn execute(self) -> Result<(), Failure> {
        let (run, keep_best) = (self.run, self.keep_best);
        done(self.which.ask(Request::Stop { run, keep_best })?)?;
        say(match keep_best {
            true => {
                "the run ends after the round at hand; `coordinator status` shows where it stands"
            }
            false => "the run has ended; its hospitals are told",
        });
        Ok(())
    }
}

fn done(answer: Answer) -> Result<(), Failure> {
    match answer {
        Answer::Done => Ok(()),
        Answer::Refused { reason } => Err(Failure::Run(anyhow!(reason))),
        Answer::Status(_) | Answer::Idle { .. } => {
            Err(Failure::Run(anyhow!("the coordinator gave another answer")))
        }
    }
}

/// Goes on without a hospital that holds up the run of a coordinator that is running on this machine: nobody waits for it, and it is
/// told so.
///
/// It takes part again once the coordinator is started again. What it has contributed stays in the sums. Refused if too few would be
/// left for a sum.
#[derive(Args)]
struct Without {
    /// The hospital's number.
    hospital: u8,

    #[command(flatten)]
    which: Which,
}

impl Without {
    fn execute(self) -> Result<(), Failure> {
        let hospital = self.hospital;
        done(self.which.ask(Request::Without { hospital })?)?;
        say(format_args!("the run goes on without hospital {hospital}"));
        Ok(())
    }
}

impl Run {
    /// Runs the command.
    pub fn execute(self) -> Result<(), Failure> {
        match self.command {
            RunCommand::Plan(plan) => plan.execute(),
            RunCommand::Sign(sign) => sign.execute(),
            RunCommand::Start(start) => start.execute(),
            RunCommand::List(list) => list.execute(),
            RunCommand::Show(show) => show.execute(),
            RunCommand::Logs(logs) => logs.execute(),
            RunCommand::Pause(pause) => pause.execute(),
            RunCommand::Resume(resume) => resume.execute(),
            RunCommand::Stop(stop) => stop.execute(),
            RunCommand::Without(without) => without.execute(),
        }
    }
}

impl Sign {
    fn execute(self) -> Result<(), Failure> {
        let settings = Settings::load(&self.settings, environment(), &self.set);
        let settings = settings.map_err(Failure::settings)?;
        let roster_path = self.roster.as_ref().unwrap_or(&settings.roster);
        let key_path = self.key.as_ref().unwrap_or(&settings.keys.operator_key);
        let roster = NamedFile::new("roster", roster_path).roster();
        let roster = roster.map_err(Failure::settings)?;
        let key = NamedFile::new("keys.operator_key", key_path).signing_key();
        let key = key.map_err(Failure::settings)?;
        if key.public() != *roster.operator_key() {
            return Err(Failure::Settings(anyhow!(
                "{} is not the operator's key that the roster {} lists; no hospital would take part in what it signs",
                key_path.display(),
                roster_path.display()
            )));
        }
        let run = settings.run().map_err(Failure::settings)?;
        let signed = run.signed_manifest(&key);
        let checked = CheckedManifest::check(signed.clone(), &roster);
        let checked = checked.map_err(Failure::settings)?;
        let out = self
            .out
            .unwrap_or_else(|| self.settings.with_extension("signed.json"));
        let text = run_file::to_text(&signed, &roster).map_err(Failure::settings)?;
        write_new(&out, &text)
            .with_context(|| format!("cannot write {}; a file that exists is kept", out.display()))
            .map_err(Failure::Settings)?;
        let members = roster.members().map(|member| member.name.as_str());
        for (key, value) in checked.in_words() {
            say(format_args!("  {key:<21} {}", printable(&value)));
        }
        let members = members.collect::<Vec<_>>().join(", ");
        say(format_args!("signed this run for: {members}"));
        say(format_args!("run {}", hex::encode(checked.run())));
        say(format_args!(
            "To begin it, where the coordinator is: coordinator run start {}",
            out.display()
        ));
        Ok(())
    }
}

fn write_new(path: &std::path::Path, text: &str) -> std::io::Result<()> {
    let mut file = fs::File::create_new(path)?;
    std::io::Write::write_all(&mut file, text.as_bytes())?;
    file.sync_all()
}

/// As much as the coordinator reads of a request; a run has a few kilobytes.
const MAX_RUN_FILE_BYTES: u64 = 128 << 10;
