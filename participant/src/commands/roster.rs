//! `participant roster`.

use anyhow::{Context as _, anyhow};
use clap::{Args, Subcommand};
use host::{
    failure::Failure,
    key_files::NamedFile,
    output::say,
    roster_in_words::{coordinator_fingerprint, in_words, operator_fingerprint},
    shown::Format,
};
use participant::{
    enrolment::{MemberDesk, Offered, RosterFiles},
    settings::Settings,
};
use protocol::identity::SigningKey;
use serde_json::json;

use super::consent::Which;

/// The roster: who is in the federation, under which keys. All of this hospital's trust in the others rests on it.
#[derive(Args)]
pub struct RosterCommands {
    #[command(subcommand)]
    command: RosterCommand,
}

#[derive(Subcommand)]
enum RosterCommand {
    Show(Show),
    Sign(Sign),
    Fetch(Fetch),
}

/// Shows the roster that the coordinator has, to be signed or published: members, fingerprints, what differs from the one before.
#[derive(Args)]
struct Show {
    /// For people, or one JSON object.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,

    #[command(flatten)]
    which: Which,
}

/// Signs the roster that the coordinator has drafted, after its fingerprint was compared with the other hospitals over the phone.
#[derive(Args)]
struct Sign {
    /// The fingerprint of the roster, in quotation marks: the words that all hospitals read to each other.
    #[arg(long, value_name = "WORDS")]
    fingerprint: String,

    #[command(flatten)]
    which: Which,
}

/// Takes over the roster that the coordinator has published: one that was signed here, one that follows the one that is here, or one
/// whose fingerprint is given. `participant run` does so by itself for one that was signed here.
#[derive(Args)]
struct Fetch {
    /// The fingerprint of the roster, in quotation marks, compared with the other hospitals: for one that was neither signed here nor
    /// follows the one that is here.
    #[arg(long, value_name = "WORDS")]
    fingerprint: Option<String>,

    #[command(flatten)]
    which: Which,
}

impl RosterCommands {
    /// Runs the command.
    pub fn execute(self) -> Result<(), Failure> {
        let runtime = tokio::runtime::Runtime::new()
            .context("cannot start the asynchronous runtime")
            .map_err(Failure::Run)?;
        runtime.block_on(async {
            match self.command {
                RosterCommand::Show(show) => show.execute().await,
                RosterCommand::Sign(sign) => sign.execute().await,
                RosterCommand::Fetch(fetch) => fetch.execute().await,
            }
        })
    }
}

/// What every command needs.
struct Hospital {
    settings: Settings,
    key: SigningKey,
    files: RosterFiles,
}

impl Hospital {
    fn open(which: &Which) -> Result<Self, Failure> {
        let settings = which.settings()?;
        let key = NamedFile::new("keys.signing_key", &settings.keys.signing_key).signing_key();
        let key = key.map_err(Failure::settings)?;
        let files = settings.roster_files(&key).map_err(Failure::settings)?;
        Ok(Self {
            settings,
            key,
            files,
        })
    }
}

impl Hospital {
    fn desk(&self) -> Result<MemberDesk<'_>, Failure> {
        self.settings.desk(&self.key).map_err(Failure::settings)
    }

    async fn offered(&self, desk: &MemberDesk<'_>) -> Result<Offered, Failure> {
        self.files.offered(desk).await.map_err(Failure::settings)
    }
}

impl Show {
    async fn execute(self) -> Result<(), Failure> {
        let hospital = Hospital::open(&self.which)?;
        let offered = hospital.offered(&hospital.desk()?).await?;
        let missing = offered
            .file
            .missing_signatures()
            .map_err(Failure::settings)?;
        let roster = &offered.roster;
        if self.format == Format::Json {
            say(json!({
                "schema": 1,
                "epoch": roster.epoch(),
                "published": offered.is_published,
                "hash": hex::encode(roster.hash()),
                "fingerprint": roster.fingerprint(),
                "coordinator": coordinator_fingerprint(roster),
                "operator": operator_fingerprint(roster),
                "hospitals": offered.file.hospitals,
                "missing_signatures": missing.members.iter().map(|id| id.get()).collect::<Vec<_>>(),
                "missing_of_previous": missing.of_previous,
            }));
            return Ok(());
        }
        for line in in_words(roster, offered.previous.as_ref()) {
            say(line);
        }
        if !offered.includes_us {
            say("THIS HOSPITAL IS NOT ON IT");
        }
        match (offered.is_published, missing.is_none()) {
            (true, _) => say("published"),
            (false, true) => {
                say("signed by all that have to; the coordinator has yet to publish it")
            }
            (false, false) => {
                say(
                    "Compare the fingerprint of the roster with the other hospitals, over the phone. If all have the same:",
                );
                say("  participant roster sign --fingerprint \"THE WORDS\"");
            }
        }
        Ok(())
    }
}

impl Sign {
    async fn execute(self) -> Result<(), Failure> {
        let hospital = Hospital::open(&self.which)?;
        let desk = hospital.desk()?;
        let offered = hospital.offered(&desk).await?;
        if offered.is_published {
            return Err(Failure::Settings(anyhow!(
                "the coordinator has no roster that is to be signed; `participant roster fetch` takes the published one over"
            )));
        }
        let signed = hospital
            .files
            .sign(&desk, &offered, &self.fingerprint, &hospital.key);
        let missing = signed.await.map_err(Failure::settings)?;
        say(if missing.is_none() {
            "signed; all signatures are there, and the coordinator can publish the roster"
                .to_owned()
        } else {
            let numbers: Vec<_> = missing.members.iter().map(|id| id.to_string()).collect();
            let of_previous = match missing.of_previous {
                0 => String::new(),
                more => format!("; {more} more hospitals of the roster before"),
            };
            format!(
                "signed; still to sign: hospitals {}{of_previous}",
                numbers.join(", ")
            )
        });
        Ok(())
    }
}

impl Fetch {
    async fn execute(self) -> Result<(), Failure> {
        let hospital = Hospital::open(&self.which)?;
        let published = hospital.files.published(&hospital.desk()?).await;
        let offered = published.map_err(Failure::settings)?;
        let words = self.fingerprint.as_deref();
        let taken = hospital.files.take_over(&offered, words);
        let is_new = taken.map_err(Failure::settings)?;
        say(format_args!(
            "{} the roster of epoch {}; its fingerprint: {}",
            if is_new {
                "took over"
            } else {
                "this is already"
            },
            offered.roster.epoch(),
            offered.roster.fingerprint()
        ));
        Ok(())
    }
}
