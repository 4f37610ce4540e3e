//! Fake hospitals over QUIC: what they say is the machine's tests' [`FakeHospital`]; here it gets a link, which can be cut.

#[path = "../../src/machine/tests/hospital.rs"]
#[expect(dead_code, reason = "the tests of the machine ask it for more")]
mod hospital;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use coordinator::demo::Demo;
use protocol::{
    HospitalId, codec,
    manifest::Purpose,
    message::{ALREADY_CONNECTED, ToCoordinator, ToVault},
};
use tokio::{
    sync::{Barrier, watch},
    time::Instant,
};
use transport::{
    CloseCode, CoordinatorLink, Dialer, Disconnect, Limits, TransportError,
    certificates::KeyFingerprint, tls::ParticipantTls,
};

use self::hospital::{Act, FakeHospital};

/// What a hospital does beside following the protocol.
#[derive(Clone, Copy, Default)]
pub struct Script {
    /// Loses its connection once so many bytes of its update are on their way, comes back and goes on.
    pub cut_at: Option<u64>,
    /// Does not upload its update before this many hospitals have.
    pub waits_for_uploads: usize,
    /// Says that no sum opens.
    pub fails: bool,
    /// Dials on whatever happens to its connection: the coordinator is started again.
    pub dials_on: bool,
}

/// What a hospital has seen when its run is over.
#[derive(Debug, Default)]
pub struct Seen {
    /// The last message that ends a run.
    pub ending: Option<ToVault>,
    /// Purpose, contributors and the word of the sum of each outcome.
    pub outcomes: Vec<(Purpose, BTreeSet<u8>, u64)>,
    /// Blob bytes sent on the connection after the cut.
    pub resumed_blob_bytes: Option<u64>,
}

/// A hospital without secrets.
pub struct ScriptedHospital {
    id: HospitalId,
    fake: FakeHospital,
    dialer: Dialer,
    script: Script,
    uploads: Arc<watch::Sender<usize>>,
    /// Where it waits for the others before it uploads its first update.
    pub starting_line: Option<Arc<Barrier>>,
    cut: bool,
    /// Members of the roster.
    hospitals: usize,
    /// An acknowledgement of some boxes, and until when it waits for the next.
    acknowledgement: Option<(ToCoordinator, Instant)>,
}

impl ScriptedHospital {
    /// Hospital `id` of `demo`. All hospitals of a run share `uploads`, the number of updates uploaded.
    pub fn new(
        demo: &Demo,
        id: u8,
        address: &str,
        script: Script,
        uploads: Arc<watch::Sender<usize>>,
    ) -> Self {
        let id = hospital(id);
        let key = demo.hospitals[&id].copy_signing_key();
        let mut fake = FakeHospital::new(id, key, Arc::clone(&demo.roster));
        fake.fails = script.fails;
        Self {
            id,
            fake,
            dialer: dialer(demo, id, address),
            script,
            uploads,
            starting_line: None,
            cut: false,
            hospitals: demo.roster.size(),
            acknowledgement: None,
        }
    }

    /// Takes part until the coordinator has said the last word.
    pub async fn play(mut self) -> Seen {
        loop {
            let mut link = connect(&self.dialer).await;
            say(&link, self.fake.hello()).await;
            self.acknowledgement = None;
            loop {
                let until = self.acknowledgement.as_ref().map(|(_, until)| *until);
                let message = tokio::select! {
                    message = self.next_message(&mut link) => match message {
                        Some(message) => message,
                        None => break,
                    },
                    () = due(until) => {
                        if let Some((message, _)) = self.acknowledgement.take() {
                            say(&link, message).await;
                        }
                        continue;
                    }
                };
                let acts = self.fake.hear(message);
                self.perform(&link, acts).await;
                if self.fake.ending.is_some() {
                    let sent = link.traffic().counts().blob_bytes_sent;
                    link.close(CloseCode::Done, "").await;
                    return Seen {
                        ending: self.fake.ending,
                        outcomes: self.fake.seen,
                        resumed_blob_bytes: self.cut.then_some(sent),
                    };
                }
            }
        }
    }

    /// None when the connection is lost and another one is to be made.
    async fn next_message(&self, link: &mut CoordinatorLink) -> Option<ToVault> {
        match hear(link).await {
            Ok(message) => Some(message),
            Err(Disconnect::ByUs) => None,
            Err(Disconnect::ByPeer {
                code: CloseCode::Application(ALREADY_CONNECTED),
                ..
            }) => {
                tokio::time::sleep(Duration::from_millis(100)).await;
                None
            }
            Err(_) if self.script.dials_on => {
                tokio::time::sleep(Duration::from_millis(50)).await;
                None
            }
            Err(disconnect) => panic!("hospital {}: {disconnect}", self.id),
        }
    }

    async fn perform(&mut self, link: &CoordinatorLink, acts: Vec<Act>) {
        for act in acts {
            match act {
                Act::Say(message) => {
                    if let Some(message) = self.unless_held(message) {
                        say(link, message).await;
                    }
                }
                Act::Upload { name, bytes } => self.upload(link, name, &bytes).await,
                Act::Fetch { name } => {
                    let mut bytes = Vec::new();
                    match link.blobs().download(name.into(), &mut bytes).await {
                        Ok(()) => {}
                        // Enough others have said so meanwhile that the run is over; the last word follows.
                        Err(TransportError::Closed(_)) if self.script.fails => return,
                        Err(_) if self.script.dials_on => return,
                        Err(error) => panic!("hospital {}: {error}", self.id),
                    }
                    for act in self.fake.open(&bytes) {
                        let Act::Say(message) = act else {
                            panic!("an outcome is answered with a word");
                        };
                        say(link, message).await;
                    }
                }
            }
        }
    }

    /// A participant sends an acknowledgement of some boxes a moment later, if no other comes meanwhile.
    fn unless_held(&mut self, message: ToCoordinator) -> Option<ToCoordinator> {
        let ToCoordinator::BoxAck(ack) = &message else {
            return Some(message);
        };
        let boxes = ack.read_unverified().expect("our own").answers.len();
        let earlier = self.acknowledgement.take();
        if boxes >= self.hospitals {
            return Some(message);
        }
        let until = earlier.map(|(_, until)| until);
        let until = until.unwrap_or_else(|| Instant::now() + Duration::from_millis(250));
        self.acknowledgement = Some((message, until));
        None
    }

    async fn upload(&mut self, link: &CoordinatorLink, name: [u8; 32], bytes: &[u8]) {
        let header = self.fake.header().expect("a round is open");
        let is_update = header.purpose == Purpose::Update;
        if is_update {
            if let Some(others) = self.starting_line.take() {
                others.wait().await;
            }
            let mut uploads = self.uploads.subscribe();
            let needed = self.script.waits_for_uploads;
            uploads
                .wait_for(|uploaded| *uploaded >= needed)
                .await
                .expect("the sender is ours");
        }
        let cut_at = self.script.cut_at.filter(|_| is_update && !self.cut);
        let sender = link.sender();
        let blobs = link.blobs();
        let result = blobs.upload(name, bytes, |sent| {
            if cut_at.is_some_and(|cut_at| sent >= cut_at) {
                sender.abort(CloseCode::Dropped, "cut");
            }
        });
        match result.await {
            Ok(()) if self.script.dials_on => {}
            Ok(()) => {
                if is_update {
                    self.uploads.send_modify(|uploaded| *uploaded += 1);
                }
                // The verdict was lost, as far as this hospital is concerned: the second time nothing moves.
                let before = link.traffic().counts().blob_bytes_sent;
                link.blobs()
                    .upload(name, bytes, |_| {})
                    .await
                    .expect("the same upload again");
                assert_eq!(link.traffic().counts().blob_bytes_sent, before);
            }
            Err(TransportError::Closed(_)) if cut_at.is_some() => self.cut = true,
            Err(_) if self.script.dials_on => {}
            Err(error) => panic!("hospital {}: {error}", self.id),
        }
    }
}

/// A hospital's number.
pub fn hospital(id: u8) -> HospitalId {
    HospitalId::new(id).expect("in range")
}

/// Dials the coordinator of `demo` as hospital `id`.
pub fn dialer(demo: &Demo, id: HospitalId, address: &str) -> Dialer {
    let coordinator = KeyFingerprint::from(demo.roster.coordinator_tls_fingerprint());
    let identity = demo.hospitals[&id].tls_identity().expect("a pair");
    let authority = demo.trusted_authority().expect("a trust root");
    let tls = ParticipantTls::new(&identity, &authority, coordinator).expect("a configuration");
    Dialer::new(address, "localhost", &tls, &Limits::default()).expect("a dialer")
}

async fn due(until: Option<Instant>) {
    match until {
        Some(until) => tokio::time::sleep_until(until).await,
        None => std::future::pending().await,
    }
}

/// Connects, on a machine that may be busy.
pub async fn connect(dialer: &Dialer) -> CoordinatorLink {
    dialer
        .connect(|_| {})
        .await
        .expect("the coordinator lets us in")
}

/// Sends a message.
pub async fn say(link: &CoordinatorLink, message: ToCoordinator) {
    // A link that has just been lost shows on the reading side.
    let _ = link.sender().send(codec::encode_frame(&message)).await;
}

/// The coordinator's next message.
pub async fn hear(link: &mut CoordinatorLink) -> Result<ToVault, Disconnect> {
    link.receive()
        .await
        .map(|frame| codec::decode_frame(&frame).expect("a message"))
}
