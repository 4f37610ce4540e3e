//! `coordinator run`.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, anyhow};
use clap::{Args, Subcommand};
use coordinator::{
    control::{Answer, Request},
    run_file,
    settings::Settings,
};
use host::{
    failure::Failure,
    key_files::NamedFile,
    output::say,
    settings::{environment, key_and_value},
};
use protocol::manifest::CheckedManifest;

use super::status::Which;

/// Runs: signed by their operator, and told what to do while they are under way.
#[derive(Args)]
pub struct Run {
    #[command(subcommand)]
    command: RunCommand,
}

#[derive(Subcommand)]
enum RunCommand {
    Sign(Sign),
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

    /// Set any key of the settings, for example --set run.rounds=16. May be given several times.
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = key_and_value)]
    set: Vec<(String, String)>,

    /// The file to write. It must not exist yet [default: MANIFEST with the ending .signed.json].
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
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
        match self.which.ask(Request::Without { hospital })? {
            Answer::Done => {
                say(format_args!("the run goes on without hospital {hospital}"));
                Ok(())
            }
            Answer::Refused { reason } => Err(Failure::Run(anyhow!(reason))),
            Answer::Status(_) => Err(Failure::Run(anyhow!("the coordinator gave another answer"))),
        }
    }
}

impl Run {
    /// Runs the command.
    pub fn execute(self) -> Result<(), Failure> {
        match self.command {
            RunCommand::Sign(sign) => sign.execute(),
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
        let signed = settings.run.signed_manifest(&key);
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
        for (key, value) in settings.run.in_words() {
            say(format_args!("  {key:<21} {value}"));
        }
        let members = members.collect::<Vec<_>>().join(", ");
        say(format_args!("signed this run for: {members}"));
        say(format_args!("run {}", hex::encode(checked.run())));
        say(format_args!(
            "To begin it: coordinator serve --run {}",
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
