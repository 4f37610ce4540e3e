//! `participant ledger`: what has left this hospital.

use std::{
    fs::OpenOptions,
    io::{self, BufWriter, Write as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, anyhow};
use clap::{Args, Subcommand};
use host::{failure::Failure, output::say, settings::environment, shown::Format};
use participant::{
    ledger::{self, ChainFault, Content, Entry, Summary, Verified},
    settings::Settings,
};
use protocol::{counted::counted, digests::RunId};

use super::ledger_report;

/// Shows what has left this hospital, by run and purpose: how many objects, how many bytes, and how they were protected.
///
/// The ledger has an entry for every object, written before it leaves. This and the commands below read it, also while a run is under
/// way, and check its chain first. Patients are in no entry.
#[derive(Args)]
#[command(after_help = HELP)]
pub struct LedgerArguments {
    #[command(subcommand)]
    command: Option<LedgerCommand>,

    #[command(flatten)]
    which: Which,
}

#[derive(Subcommand)]
enum LedgerCommand {
    /// Shows the single entries.
    #[command(visible_alias = "ls")]
    List,
    Export(Export),
    Verify(Verify),
}

/// Which ledger, what of it, and how it is shown.
#[derive(Args)]
struct Which {
    /// The settings file, which names the state folder.
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        default_value = "participant.toml"
    )]
    config: PathBuf,

    /// The state folder, if it is not the one that the settings name.
    #[arg(long, global = true, value_name = "DIR")]
    state: Option<PathBuf>,

    /// Only what left in this run: the first digits of its hash are enough.
    #[arg(long, global = true, value_name = "ID", value_parser = run_digits)]
    run: Option<String>,

    /// For people, or JSON for scripts: an object, and of `list` one a line.
    #[arg(long, global = true, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// Writes the entries into a CSV file, a line each.
#[derive(Args)]
struct Export {
    /// The file; it must not be there yet.
    #[arg(value_name = "FILE.csv")]
    file: PathBuf,
}

/// Checks that no entry was altered, removed or inserted since it was written.
///
/// Every entry holds the hash of the one before. Whoever can write the file can write all of it anew: against that, write the last hash
/// down elsewhere now and then (it is in the log at the end of every run), and give it to --head later.
#[derive(Args)]
struct Verify {
    /// The hash of an entry that was written down: the chain must still have it.
    #[arg(long, value_name = "HASH", value_parser = digest)]
    head: Option<[u8; 32]>,
}

impl LedgerArguments {
    /// Runs the command.
    pub fn execute(self) -> Result<(), Failure> {
        let path = self.which.path()?;
        match &self.command {
            None => self.which.summary(&path),
            Some(LedgerCommand::List) => self.which.list(&path),
            Some(LedgerCommand::Export(export)) => export.execute(&self.which, &path),
            Some(LedgerCommand::Verify(verify)) => verify.execute(&self.which, &path),
        }
    }
}

impl Which {
    fn path(&self) -> Result<PathBuf, Failure> {
        let state = match &self.state {
            Some(state) => state.clone(),
            None => {
                let settings = Settings::load(&self.config, environment(), &[]);
                settings.map_err(Failure::settings)?.state
            }
        };
        Ok(state.join(ledger::FILE))
    }

    fn wants(&self, content: &Content) -> bool {
        let run = |run: &RunId| hex::encode(run);
        self.run.as_ref().is_none_or(|digits| {
            content
                .run
                .as_ref()
                .map(run)
                .is_some_and(|run| run.starts_with(digits))
        })
    }

    /// Gives the entries that are wanted, in their order, and at last what is counted and is no entry yet.
    fn read(
        &self,
        path: &Path,
        mut see: impl FnMut(Option<&Entry>, &Content) -> io::Result<()>,
    ) -> Result<Verified, Failure> {
        let mut seen = Ok(());
        let mut found = false;
        let mut show = |entry: Option<&Entry>, content: &Content| {
            if self.wants(content) && seen.is_ok() {
                found = true;
                seen = see(entry, content);
            }
        };
        let verified = ledger::verify(path, None, |entry| show(Some(entry), &entry.content));
        let verified = verified.map_err(|fault| unsound(path, fault))?;
        for counted in &verified.counting {
            show(None, counted);
        }
        seen.map_err(Failure::run)?;
        match &self.run {
            Some(digits) if !found => {
                let text = format!(
                    "nothing has left this hospital in a run whose hash begins with {digits}; `participant ledger` lists the runs"
                );
                Err(Failure::Settings(anyhow!(text)))
            }
            _ => Ok(verified),
        }
    }

    fn summary(&self, path: &Path) -> Result<(), Failure> {
        let mut summary = Summary::default();
        let verified = self.read(path, |_, content| {
            summary.add(content);
            Ok(())
        })?;
        say(match self.format {
            Format::Text => ledger_report::text(&summary, &verified.head),
            Format::Json => ledger_report::json(&summary, &verified.head),
        });
        Ok(())
    }

    fn list(&self, path: &Path) -> Result<(), Failure> {
        self.read(path, |entry, content| {
            say(match self.format {
                Format::Text => ledger_report::line(entry, content),
                Format::Json => ledger_report::json_line(entry, content),
            });
            Ok(())
        })?;
        Ok(())
    }
}

impl Export {
    fn execute(&self, which: &Which, path: &Path) -> Result<(), Failure> {
        // Before the file is made: a ledger that cannot be read leaves none.
        which.read(path, |_, _| Ok(()))?;
        let name = self.file.display();
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&self.file);
        let file = match file {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let text = format!(
                    "{name} is there already, and is not overwritten; name another file, or remove it"
                );
                return Err(Failure::Settings(anyhow!(text)));
            }
            opened => opened
                .with_context(|| format!("cannot write {name}"))
                .map_err(Failure::Settings)?,
        };
        let mut writer = csv::Writer::from_writer(BufWriter::new(file));
        let mut lines = 0_u64;
        let unwritable = |error: io::Error| {
            Failure::Run(anyhow!("cannot write {name}: {error}; it is not whole"))
        };
        writer
            .write_record(ledger::COLUMNS)
            .map_err(|error| unwritable(error.into()))?;
        which.read(path, |entry, content| {
            lines += 1;
            Ok(writer.write_record(ledger::record(entry, content))?)
        })?;
        let mut file = writer
            .into_inner()
            .map_err(|error| unwritable(error.into_error()))?;
        let synced = file.flush().and_then(|()| file.get_ref().sync_all());
        synced.map_err(unwritable)?;
        say(format_args!("wrote {lines} lines into {name}"));
        Ok(())
    }
}

impl Verify {
    fn execute(&self, which: &Which, path: &Path) -> Result<(), Failure> {
        let verified = ledger::verify(path, self.head, |_| ());
        let verified = verified.map_err(|fault| unsound(path, fault))?;
        let (entries, hash) = (verified.head.entries, hex::encode(verified.head.hash));
        let file = path.display();
        say(match which.format {
            Format::Text => format!(
                "{file}: {}, each with the hash of the one before; the last hash is {hash}",
                counted(entries, ["entry holds", "entries hold"])
            ),
            Format::Json => {
                serde_json::json!({"schema": 1, "entries": entries, "head": hash}).to_string()
            }
        });
        Ok(())
    }
}

/// A chain that is broken is no matter of settings.
fn unsound(path: &Path, fault: ChainFault) -> Failure {
    match fault {
        ChainFault::Ledger(error) => Failure::settings(error),
        fault => Failure::Run(anyhow!(
            "{}: {fault}; keep the file as evidence, and compare it with an exported copy or a backup",
            path.display()
        )),
    }
}

fn run_digits(text: &str) -> Result<String, String> {
    let is_hex =
        !text.is_empty() && text.len() <= 64 && text.chars().all(|digit| digit.is_ascii_hexdigit());
    if is_hex {
        Ok(text.to_ascii_lowercase())
    } else {
        Err(
            "the first digits of a run's hash, in hexadecimal, as `participant ledger` shows them"
                .to_owned(),
        )
    }
}

fn digest(text: &str) -> Result<[u8; 32], String> {
    let mut digest = [0; 32];
    hex::decode_to_slice(text, &mut digest)
        .map(|()| digest)
        .map_err(|_| {
            "a hash of 64 hexadecimal digits, as `participant ledger verify` shows it".to_owned()
        })
}

const HELP: &str = "\
Examples:
  participant ledger --config hospital-1/participant.toml
  participant ledger list --run a95f1e6d
  participant ledger export ledger.csv
  participant ledger verify --head HASH-THAT-WAS-WRITTEN-DOWN

Exit codes:
  0  done
  1  an entry was altered, removed or inserted, or the file cannot be written
  2  there is no ledger, or a flag or setting is wrong";
