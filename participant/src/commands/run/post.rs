//! What stays of a participant while it is at work and while it rests: its locked state folder, the ledger, the page, the diary.

use std::{path::Path, sync::Arc};

use host::{failure::Failure, web::WebListener};
use participant::{
    ledger::Ledger,
    model_file::{ModelKeeper, OwnReading},
    run_spans::RunSpans,
    settings::Settings,
    standing::Standing,
    state_folder::StateFolder,
    web::Web,
};
use protocol::roster::Roster;

use super::{
    curves::{Curves, LogTargets},
    noted::Noted,
};
use crate::commands::diary::Diary;

/// One per process.
pub struct Post {
    /// Of what leaves.
    pub ledger: Arc<Ledger>,
    /// For people.
    pub standing: Standing,
    /// For the log.
    pub diary: Diary,
    /// Which run and round lines of the log are about.
    pub spans: RunSpans,
    _web: Option<Web>,
    /// Unlocked when all else is gone.
    pub state: StateFolder,
}

impl Post {
    /// Locks the state folder, and shows where the hospital stands. To be called inside a tokio runtime.
    ///
    /// # Errors
    /// What the user has to set right.
    pub fn open(
        settings: &Settings,
        file: &Path,
        roster: &Roster,
        listener: Option<WebListener>,
        log: LogTargets,
    ) -> Result<Self, Failure> {
        let state = StateFolder::open(&settings.state).map_err(Failure::settings)?;
        let ledger = Arc::new(state.ledger().map_err(Failure::settings)?);
        let standing = Standing::begin(settings, roster);
        let web = page(listener, settings, &standing)?;
        let models = ModelKeeper::new(state.path(), OwnReading::of(settings)).tidied();
        let spans = RunSpans::new(settings.hospital);
        let curves = Curves::new(state.path(), log);
        let noted = Noted::new(state.path());
        Ok(Self {
            ledger,
            standing,
            diary: Diary::new(models, file.to_owned(), spans.clone(), curves, noted),
            spans,
            _web: web,
            state,
        })
    }

    /// The last heartbeats are entered, and the log has the hash that the ledger ends with: written elsewhere, it shows that nobody has
    /// written another ledger since.
    pub fn close_ledger(&self) {
        let ledger = &self.ledger;
        if let Err(error) = ledger.enter_counted() {
            tracing::warn!("{error}; they are entered at the next start");
        }
        let head = ledger.head();
        tracing::info!(
            entries = head.entries,
            hash = hex::encode(head.hash),
            "the ledger of what has left this hospital ends here"
        );
    }
}

/// The web page, if the settings name an address for it.
fn page(
    listener: Option<WebListener>,
    settings: &Settings,
    standing: &Standing,
) -> Result<Option<Web>, Failure> {
    let Some(listener) = listener else {
        return Ok(None);
    };
    let web = Web::start(listener, settings.clone(), standing);
    let web = web.map_err(Failure::settings)?;
    let (address, token) = (web.address(), web.token_file().display());
    tracing::info!("the web page is at http://{address}/; its token is in {token}");
    Ok(Some(web))
}
