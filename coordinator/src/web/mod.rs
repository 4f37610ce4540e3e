//! The operator's page: members, the run under way, its phases, and the orders of `coordinator run`.
//!
//! It stands beside the coordinator and not in it: it asks through the control socket as the commands do, so that it lives on between
//! runs, and nothing waits for it. Losses are not shown: only hospitals can open sums.
//!
//! ```text
//! control socket, members.sqlite, coordinator.sqlite --> look, every second --.
//! events of the run --> timeline ----------------------------------------------+--> state --> host::web --> browser
//! ```

mod actions;
mod look;
mod numbers;
mod timeline;

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use host::web::{Door, Feed, Health, Page, Site, WebError, WebListener, looks};
use tokio::{
    sync::mpsc,
    task::{JoinSet, spawn_blocking},
};

use self::{actions::actions, look::Look, numbers::numbers, timeline::Timeline};
use crate::{machine::Event, settings::Settings};

/// A page that is served. Dropped, it is gone.
pub struct Web {
    address: SocketAddr,
    token_file: PathBuf,
    seen: Arc<Seen>,
    _tasks: JoinSet<()>,
}

/// What was seen last.
struct Seen {
    look: Mutex<Look>,
    timeline: Mutex<Timeline>,
    /// When the coordinator answered last.
    answered: Mutex<Instant>,
}

impl Web {
    /// Serves the page of the coordinator with these settings. To be called inside a tokio runtime.
    ///
    /// # Errors
    /// [`WebError`].
    pub fn start(listener: WebListener, settings: Settings) -> Result<Self, WebError> {
        let address = listener.address();
        let door = Door::open(&settings.state)?;
        let token_file = door.token_file().to_owned();
        let settings = Arc::new(settings);
        let seen = Arc::new(Seen {
            look: Mutex::default(),
            timeline: Mutex::default(),
            answered: Mutex::new(Instant::now()),
        });
        let (feed, state) = Feed::new();
        let (of_health, of_metrics) = (Arc::clone(&seen), Arc::clone(&seen));
        let site = Site {
            page: PAGE,
            door,
            state,
            health: Box::new(move || of_health.health()),
            metrics: Box::new(move || numbers(&of_metrics.look(), &of_metrics.timeline())),
            actions: actions(Arc::clone(&settings)),
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(listener.serve(site.router()));
        tasks.spawn(watch_coordinator(settings, Arc::clone(&seen), feed));
        Ok(Self {
            address,
            token_file,
            seen,
            _tasks: tasks,
        })
    }

    /// Where it is served.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The file with the token that opens it.
    pub fn token_file(&self) -> &std::path::Path {
        &self.token_file
    }

    /// Where the events of a run that begins, or goes on, are to be told.
    pub fn events_of_run(&self) -> mpsc::UnboundedSender<Event> {
        let (sender, mut events) = mpsc::unbounded_channel();
        let seen = Arc::clone(&self.seen);
        seen.timeline().begin();
        // Ends with the run.
        tokio::spawn(async move {
            while let Some(event) = events.recv().await {
                seen.timeline().note(&event);
            }
        });
        sender
    }
}

impl Seen {
    fn look(&self) -> MutexGuard<'_, Look> {
        self.look.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn timeline(&self) -> MutexGuard<'_, Timeline> {
        self.timeline.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Between two runs it does not answer for a moment.
    fn health(&self) -> Health {
        let look = self.look();
        if look
            .status
            .as_ref()
            .is_some_and(|status| status.stands_still)
        {
            return Health::Bad(
                "the run stands still: something cannot be written; the log says what".to_owned(),
            );
        }
        let answered = self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        match answered.elapsed() {
            silent if silent < MAX_SILENCE => Health::Good,
            silent => Health::Bad(format!(
                "the coordinator has not answered for {} s",
                silent.as_secs()
            )),
        }
    }
}

/// Looks again and again, and tells what is new.
async fn watch_coordinator(settings: Arc<Settings>, seen: Arc<Seen>, mut feed: Feed) {
    let mut looks = looks();
    loop {
        looks.tick().await;
        let settings = Arc::clone(&settings);
        let Ok(look) = spawn_blocking(move || Look::take(&settings)).await else {
            continue;
        };
        if look.has_answered {
            let mut answered = seen.answered.lock().unwrap_or_else(PoisonError::into_inner);
            *answered = Instant::now();
        }
        feed.show(look.as_json(&seen.timeline()));
        *seen.look() = look;
    }
}

const PAGE: Page = Page {
    title: "Coordinator",
    program: "coordinator",
    header: include_str!("assets/header.html"),
    content: include_str!("assets/content.html"),
    script: include_str!("assets/page.js"),
};
const MAX_SILENCE: Duration = Duration::from_secs(30);
