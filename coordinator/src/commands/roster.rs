//! `coordinator roster`.

use std::{fs, path::PathBuf, time::SystemTime};

use anyhow::{Context as _, anyhow};
use clap::{Args, Subcommand};
use coordinator::{
    enrolment::{Members, OtherKeys, RosterDraftError, Unsigned, names},
    settings::Settings,
    store::Store,
};
use host::{
    failure::Failure,
    key_files::NamedFile,
    output::say,
    roster_in_words::{coordinator_fingerprint, in_words, operator_fingerprint},
    shown::Format,
};
use protocol::{
    counted::counted,
    roster::{PeerKeys, RosterFile},
};
use serde_json::json;

use super::members::OfCoordinator;

/// The roster: who is in the federation, under which keys. Members sign it; every run is for one roster.
#[derive(Args)]
pub struct RosterCommands {
    #[command(subcommand)]
    command: RosterCommand,
}

#[derive(Subcommand)]
enum RosterCommand {
    Draft(Draft),
    Show(Show),
    Publish(Publish),
}

/// Drafts a roster of all members, for them to sign. A draft that is not published yet is replaced, with its signatures.
///
/// The first roster is signed by all its members. A later one is signed by enough members of the one before (two thirds and one more;
/// 2 of 2 or 3), and by each that is new.
#[derive(Args)]
struct Draft {
    /// The operator's public key, operator.pub of `coordinator operator init` [default: that of the roster before].
    #[arg(long, value_name = "FILE")]
    operator: Option<PathBuf>,

    #[command(flatten)]
    of: OfCoordinator,
}

/// Shows the last roster in words: members, fingerprints, and who has to sign it yet.
#[derive(Args)]
struct Show {
    /// For people, or one JSON object.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,

    #[command(flatten)]
    of: OfCoordinator,
}

/// Makes the signed draft the roster: the setting `roster` names its file. A coordinator that waits for a run takes it at once. It is
/// refused while a run is not over.
#[derive(Args)]
struct Publish {
    #[command(flatten)]
    of: OfCoordinator,
}

impl RosterCommands {
    /// Runs the command.
    pub fn execute(self) -> Result<(), Failure> {
        match self.command {
            RosterCommand::Draft(draft) => draft.execute(),
            RosterCommand::Show(show) => show.execute(),
            RosterCommand::Publish(publish) => publish.execute(),
        }
    }
}

impl Draft {
    fn execute(self) -> Result<(), Failure> {
        let (settings, mut members) = self.of.open()?;
        let operator_key = self.operator_key(&members)?;
        let others = OtherKeys {
            coordinator: coordinator_keys(&settings)?,
            operator_key,
        };
        let draft = members.draft(others).map_err(Failure::settings)?;
        show(&draft, false)?;
        say(
            "Each hospital now compares this with the others over the phone, and signs: participant roster sign",
        );
        Ok(())
    }

    fn operator_key(&self, members: &Members) -> Result<[u8; 32], Failure> {
        let Some(path) = &self.operator else {
            let published = members.published_roster().map_err(Failure::settings)?;
            return published.map(|roster| roster.operator_key).ok_or_else(|| {
                Failure::Settings(anyhow!(
                    "the first roster needs the operator's public key: --operator operator.pub, which `coordinator operator init` has written"
                ))
            });
        };
        let text = fs::read_to_string(path)
            .with_context(|| format!("cannot read {}", path.display()))
            .map_err(Failure::Settings)?;
        let mut key = [0; 32];
        hex::decode_to_slice(text.trim(), &mut key)
            .with_context(|| {
                format!(
                    "{} is not the operator's public key: 64 hexadecimal digits",
                    path.display()
                )
            })
            .map_err(Failure::Settings)?;
        Ok(key)
    }
}

fn coordinator_keys(settings: &Settings) -> Result<PeerKeys, Failure> {
    let keys = &settings.keys;
    let signing_key = NamedFile::new("keys.signing_key", &keys.signing_key).signing_key();
    let identity = NamedFile::new("keys.tls_certificate", &keys.tls_certificate)
        .tls_identity(NamedFile::new("keys.tls_key", &keys.tls_key));
    Ok(PeerKeys {
        signing_key: signing_key.map_err(Failure::settings)?.public().0,
        tls_fingerprint: *identity
            .map_err(Failure::settings)?
            .fingerprint()
            .as_bytes(),
    })
}

impl Show {
    fn execute(self) -> Result<(), Failure> {
        let (_, members) = self.of.open()?;
        let last = members.last_roster().map_err(Failure::settings)?;
        let (file, is_published) =
            last.ok_or_else(|| Failure::settings(RosterDraftError::NoDraft))?;
        if self.format == Format::Json {
            let missing = file.missing_signatures().map_err(Failure::settings)?;
            let draft = file.check_draft().map_err(Failure::settings)?;
            say(json!({
                "schema": 1,
                "epoch": file.epoch,
                "published": is_published,
                "hash": hex::encode(draft.hash()),
                "fingerprint": draft.fingerprint(),
                "coordinator": coordinator_fingerprint(&draft),
                "operator": operator_fingerprint(&draft),
                "hospitals": file.hospitals,
                "missing_signatures": missing.members.iter().map(|id| id.get()).collect::<Vec<_>>(),
                "missing_of_previous": missing.of_previous,
            }));
            return Ok(());
        }
        show(&file, is_published)
    }
}

fn show(file: &RosterFile, is_published: bool) -> Result<(), Failure> {
    let roster = file.check_draft().map_err(Failure::settings)?;
    let previous = file.previous().map_err(Failure::settings)?;
    for line in in_words(&roster, previous.as_ref()) {
        say(line);
    }
    let missing = file.missing_signatures().map_err(Failure::settings)?;
    let unsigned = Unsigned {
        names: names(file, &missing.members),
        of_previous: missing.of_previous,
    };
    match (is_published, missing.is_none()) {
        (true, _) => say("published"),
        (false, true) => {
            say("signed by all that have to; `coordinator roster publish` makes it the roster")
        }
        (false, false) => say(format_args!("to be signed by: {unsigned}")),
    }
    Ok(())
}

impl Publish {
    fn execute(self) -> Result<(), Failure> {
        let (settings, mut members) = self.of.open()?;
        let database = settings.state.join("coordinator.sqlite");
        if database.exists() {
            let runs = Store::open(&database).and_then(|store| store.runs());
            let last = runs.map_err(Failure::settings)?.into_iter().next();
            if let Some(run) = last.filter(|run| run.result.is_none()) {
                return Err(Failure::Settings(anyhow!(
                    "the run {:?} is not over: it is for the hospitals of the roster that it has begun with. Publish this one when it has \
                     ended, or end it: coordinator run stop {}",
                    run.name,
                    run.run.get(..16).unwrap_or(&run.run)
                )));
            }
        }
        let draft = members.signed_draft().map_err(Failure::settings)?;
        let roster = draft.check().map_err(Failure::settings)?;
        host::replaced_file::replace(&settings.roster, draft.to_json().as_bytes())
            .with_context(|| format!("cannot write {}", settings.roster.display()))
            .map_err(Failure::Settings)?;
        members
            .publish(&draft, SystemTime::now())
            .map_err(Failure::settings)?;
        say(format_args!(
            "published the roster of epoch {}, {}, as {}; its fingerprint: {}",
            roster.epoch(),
            counted(roster.size(), ["hospital", "hospitals"]),
            settings.roster.display(),
            roster.fingerprint()
        ));
        Ok(())
    }
}
