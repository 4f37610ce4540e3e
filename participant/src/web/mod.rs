//! The hospital's page: where it [stands](crate::standing), decisions about runs, where the model looks in slices of its patients, and
//! the ledger to take along.

mod actions;
mod heat;
mod numbers;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use host::web::{Door, Health, Page, Site, WebError, WebListener};
use tokio::task::JoinSet;

use self::{
    actions::{Place, actions},
    heat::pictures,
    numbers::numbers,
};
use crate::{settings::Settings, standing::Standing};

/// A page that is served. Dropped, it is gone.
pub struct Web {
    address: SocketAddr,
    token_file: PathBuf,
    _server: JoinSet<()>,
}

impl Web {
    /// Serves the page of the hospital with these settings. To be called inside a tokio runtime.
    ///
    /// # Errors
    /// [`WebError`].
    pub fn start(
        listener: WebListener,
        settings: Settings,
        standing: &Standing,
    ) -> Result<Self, WebError> {
        let address = listener.address();
        let door = Door::open(&settings.state)?;
        let token_file = door.token_file().to_owned();
        let board = standing.board();
        let site = Site {
            page: PAGE,
            door,
            state: standing.state(),
            // That it answers is all there is to know: a hospital may wait for its coordinator for days.
            health: Box::new(|| Health::Good),
            metrics: Box::new(move || numbers(&board())),
            actions: actions(Arc::new(Place::new(settings, standing.roster())))
                .merge(pictures(standing.pictures())),
        };
        let mut server = JoinSet::new();
        server.spawn(listener.serve(site.router()));
        Ok(Self {
            address,
            token_file,
            _server: server,
        })
    }

    /// Where it is served.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The file with the token that opens it.
    pub fn token_file(&self) -> &Path {
        &self.token_file
    }
}

const PAGE: Page = Page {
    title: "Hospital",
    program: "participant",
    header: include_str!("assets/header.html"),
    content: include_str!("assets/content.html"),
    script: include_str!("assets/page.js"),
};
