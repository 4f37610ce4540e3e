//! `transcript verify`, alike in every program: follows the signed hash chain of a file, and compares two.

use std::{
    fs::File,
    io::{self, BufRead as _, BufReader},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, anyhow};
use clap::{Args, Subcommand};
use protocol::{
    counted::counted,
    roster::Roster,
    transcript::{TranscriptEntry, VerifiedChain, first_difference, verify},
};
use serde_json::{Value, json};

use crate::{failure::Failure, key_files::NamedFile, output::say, shown::Format};

/// Checks the record of a run.
#[derive(Args)]
pub struct TranscriptArguments {
    #[command(subcommand)]
    command: TranscriptCommand,
}

#[derive(Subcommand)]
enum TranscriptCommand {
    Verify(Verify),
}

/// Follows the signed hash chain of a transcript from its beginning: every signature and hash, and that each round goes on from the
/// one before. Needs the roster and no network.
///
/// With two files, such as those that two parties were given, it also names the first difference between them.
#[derive(Args)]
struct Verify {
    /// The file `transcript.jsonl`.
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Another one, to compare.
    #[arg(value_name = "FILE")]
    other: Option<PathBuf>,

    /// The roster of the federation.
    #[arg(long, value_name = "FILE", default_value = "roster.json")]
    roster: PathBuf,

    /// For people, or one JSON object.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

impl TranscriptArguments {
    /// Runs the command: on stdout one line for each file, or one object of all.
    ///
    /// # Errors
    /// [`Failure`]: a file that cannot be read, the first line that does not hold, or the first difference.
    pub fn execute(self) -> Result<(), Failure> {
        let TranscriptCommand::Verify(verify) = self.command;
        verify.execute()
    }
}

impl Verify {
    fn execute(self) -> Result<(), Failure> {
        let rosters = NamedFile::new("--roster", &self.roster)
            .rosters()
            .map_err(Failure::settings)?;
        let (first, chain) = read(&self.file, &rosters)?;
        let mut files = vec![as_json(&self.file, &chain)];
        self.say(told(&self.file, &chain));
        let Some(other) = &self.other else {
            return self.say_json(files);
        };
        let (second, chain) = read(other, &rosters)?;
        files.push(as_json(other, &chain));
        self.say(told(other, &chain));
        let (left, right) = (self.file.display(), other.display());
        if let Some((line, what)) = first_difference(&first, &second) {
            let text = format!("{left} and {right} differ in line {line}: {what} is another");
            return Err(Failure::Run(anyhow!(text)));
        }
        self.say(match first.len().cmp(&second.len()) {
            std::cmp::Ordering::Equal => "both files tell of the same rounds".to_owned(),
            std::cmp::Ordering::Less => format!(
                "{left} tells of the first {} of the {} rounds of {right}",
                first.len(),
                second.len()
            ),
            std::cmp::Ordering::Greater => format!(
                "{right} tells of the first {} of the {} rounds of {left}",
                second.len(),
                first.len()
            ),
        });
        self.say_json(files)
    }

    fn say(&self, line: String) {
        if self.format == Format::Text {
            say(line);
        }
    }

    fn say_json(&self, files: Vec<Value>) -> Result<(), Failure> {
        if self.format == Format::Json {
            say(json!({"schema": 1, "files": files}));
        }
        Ok(())
    }
}

/// Checks a transcript with the rosters of a roster file, and tells what it holds.
///
/// # Errors
/// As the command.
pub fn check(transcript: &Path, roster: &Path) -> Result<String, Failure> {
    let rosters = NamedFile::new("roster", roster).rosters();
    let (_, chain) = read(transcript, &rosters.map_err(Failure::settings)?)?;
    Ok(told(transcript, &chain))
}

/// The lines of a file whose chain holds.
fn read(path: &Path, rosters: &[Roster]) -> Result<(Vec<TranscriptEntry>, VerifiedChain), Failure> {
    let file = File::open(path)
        .with_context(|| format!("cannot read {}", path.display()))
        .map_err(Failure::Settings)?;
    let mut entries = Vec::new();
    let lines = BufReader::new(file).lines().map(|line| {
        let entry: TranscriptEntry = serde_json::from_str(&line?).map_err(io::Error::other)?;
        entries.push(entry.clone());
        io::Result::Ok(entry)
    });
    let chain = verify(lines, rosters)
        .with_context(|| format!("{} does not hold", path.display()))
        .map_err(Failure::Run)?;
    Ok((entries, chain))
}

fn as_json(path: &Path, chain: &VerifiedChain) -> Value {
    let last = chain.last.as_ref().map(|(run, transcript, model)| {
        json!({
            "run": hex::encode(run),
            "transcript": hex::encode(transcript),
            "model": hex::encode(model),
        })
    });
    json!({
        "file": path.display().to_string(),
        "rounds": chain.rounds,
        "sessions": chain.sessions,
        "fewest_signatures": chain.fewest_signatures,
        "last": last,
    })
}

fn told(path: &Path, chain: &VerifiedChain) -> String {
    let path = path.display();
    let hold = if chain.rounds == 1 { "holds" } else { "hold" };
    match &chain.last {
        None => format!("{path}: no round"),
        Some((run, transcript, model)) => format!(
            "{path}: {} in {} {hold}, each signed by {} or more; the last is of run {}, T {}, model {}",
            counted(chain.rounds, ["round", "rounds"]),
            counted(chain.sessions, ["session", "sessions"]),
            counted(chain.fewest_signatures, ["hospital", "hospitals"]),
            hex::encode(run),
            hex::encode(transcript),
            hex::encode(model)
        ),
    }
}
