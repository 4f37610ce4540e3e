//! Where this hospital stands, for people here: how far the run is, runs that wait for a decision, the common model's sums, what has
//! left. It is looked at from beside the run, which never waits for it.
//!
//! Pictures of patients are kept apart: what is looked at here goes out as JSON.
//!
//! ```text
//! events of the run --> pictures ---------------------------------> the page
//! events of the run --> board -----------------------------.
//! approvals.sqlite, ledger.sqlite --> look, again and again --+--> feed --> STATE/status.sock, the page
//! ```

mod board;
mod look;
mod pictures;
mod socket;

use std::sync::{Arc, Mutex, PoisonError};

use host::web::{Feed, looks};
use protocol::roster::Roster;
use tokio::{
    sync::watch,
    task::{JoinSet, spawn_blocking},
};

pub use self::{
    board::Board,
    look::offered_runs,
    pictures::LastPictures,
    socket::{StatusError, ask},
};
use self::{look::Files, socket::StatusSocket};
use crate::{own_results::OwnResult, settings::Settings, shell::ParticipantEvent};

/// Looks at the hospital for as long as it lives.
pub struct Standing {
    board: Arc<Mutex<Board>>,
    pictures: LastPictures,
    state: watch::Receiver<Arc<str>>,
    roster: watch::Sender<Arc<Roster>>,
    _tasks: JoinSet<()>,
}

impl Standing {
    /// Begins to look, and to answer in the state folder. To be called inside a tokio runtime, by whoever holds the lock of that folder.
    pub fn begin(settings: &Settings, roster: &Roster) -> Self {
        let board = Arc::new(Mutex::new(Board::new()));
        let (feed, state) = Feed::new();
        let mut tasks = JoinSet::new();
        match StatusSocket::listen(&settings.state) {
            Ok(socket) => {
                tasks.spawn(socket.serve(state.clone()));
            }
            Err(error) => tracing::warn!(
                "`participant status` will not reach this process, as its socket in the state folder cannot be made: {error}"
            ),
        }
        let (roster, followed) = watch::channel(Arc::new(roster.clone()));
        let files = Files::new(settings.clone(), followed);
        tasks.spawn(look_on(files, Arc::clone(&board), feed));
        Self {
            board,
            pictures: LastPictures::default(),
            state,
            roster,
            _tasks: tasks,
        }
    }

    /// The hospital takes no part until then, in words.
    pub fn rest(&self, until: &str) {
        self.with_board(|board| board.rest(until));
    }

    /// It begins again, by this roster.
    pub fn start(&self, roster: &Roster) {
        self.roster.send_if_modified(|known| {
            let is_new = known.hash() != roster.hash();
            if is_new {
                *known = Arc::new(roster.clone());
            }
            is_new
        });
        self.with_board(Board::start);
    }

    /// The roster that the hospital goes by.
    pub fn roster(&self) -> watch::Receiver<Arc<Roster>> {
        self.roster.subscribe()
    }

    /// Takes note of an event of the run.
    pub fn note(&self, event: &ParticipantEvent) {
        if let ParticipantEvent::Own(OwnResult::Heated(heat)) = event {
            self.pictures.keep(Arc::clone(heat));
        }
        self.with_board(|board| board.note(event));
    }

    fn with_board(&self, change: impl FnOnce(&mut Board)) {
        change(&mut self.board.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// The state as JSON, each time it changes.
    pub fn state(&self) -> watch::Receiver<Arc<str>> {
        self.state.clone()
    }

    /// The pictures of the last evaluation.
    pub fn pictures(&self) -> LastPictures {
        self.pictures.clone()
    }

    /// Where the board as it is can be seen.
    pub fn board(&self) -> impl Fn() -> Board + Send + Sync + 'static {
        let board = Arc::clone(&self.board);
        move || seen(&board)
    }
}

fn seen(board: &Mutex<Board>) -> Board {
    board.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

async fn look_on(files: Files, board: Arc<Mutex<Board>>, mut feed: Feed) {
    let mut looks = looks();
    let files = Arc::new(Mutex::new(files));
    loop {
        looks.tick().await;
        let (files, board) = (Arc::clone(&files), seen(&board));
        let look = spawn_blocking(move || {
            let mut files = files.lock().unwrap_or_else(PoisonError::into_inner);
            files.look(&board)
        });
        if let Ok(shown) = look.await {
            feed.show(shown);
        }
    }
}
