//! Both sides over real sockets on loopback, with real certificates.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crypto::sealed_sum::HospitalId;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::certificates::{Authority, IssuedCertificate, KeyFingerprint};
use super::faults::Silenceable;
use super::tls::{CoordinatorTls, HospitalKeys, ParticipantTls, TlsIdentity, TrustedAuthority};
use super::*;

mod admission;
mod enrolment;
mod links;
mod pace;
mod reachability;
mod renewal;
mod transfers;

type TestResult = Result<(), Box<dyn std::error::Error>>;

/// An authority, a coordinator and the hospitals 1 to 3, of whom the roster lists 1 and 2.
struct Federation {
    authority: Authority,
    coordinator: IssuedCertificate,
    hospitals: Vec<IssuedCertificate>,
}

impl Federation {
    fn new(name: &str) -> Self {
        let authority = Authority::generate(name).expect("an authority");
        let coordinator = authority
            .issue_coordinator(&["localhost".to_owned()])
            .expect("a certificate");
        let hospitals = (1..=3)
            .map(|id| {
                authority
                    .issue_hospital(hospital(id))
                    .expect("a certificate")
            })
            .collect();
        Self {
            authority,
            coordinator,
            hospitals,
        }
    }

    fn trusted(&self) -> TrustedAuthority {
        TrustedAuthority::from_pem(self.authority.certificate_pem()).expect("a trust root")
    }

    fn listen(&self, limits: &Limits) -> Listener {
        let keys = [
            (hospital(1), self.hospitals[0].fingerprint),
            (hospital(2), self.hospitals[1].fingerprint),
        ];
        let tls = CoordinatorTls::new(
            &identity(&self.coordinator),
            &self.trusted(),
            HospitalKeys::new(keys).expect("two keys"),
        )
        .expect("a configuration");
        Listener::bind(([127, 0, 0, 1], 0).into(), &tls, limits).expect("a listener")
    }

    fn participant_tls(&self, id: u8) -> ParticipantTls {
        let certificate = &self.hospitals[usize::from(id) - 1];
        ParticipantTls::new(
            &identity(certificate),
            &self.trusted(),
            self.coordinator.fingerprint,
        )
        .expect("a configuration")
    }

    fn dialer(&self, id: u8, address: SocketAddr, limits: &Limits) -> Dialer {
        dialer(&self.participant_tls(id), address, limits)
    }

    /// A listener and hospital 1 connected to it.
    async fn connected(
        &self,
        limits: &Limits,
    ) -> Result<(Listener, HospitalLink, CoordinatorLink), TransportError> {
        let mut listener = self.listen(limits);
        let dialer = self.dialer(1, listener.local_address()?, limits);
        let (arrival, link) = tokio::join!(listener.accept(), dialer.connect(never_wait));
        let hospital_link = arrival.expect("the listener is open")?;
        Ok((listener, hospital_link, link?))
    }
}

fn hospital(id: u8) -> HospitalId {
    HospitalId::new(id).expect("a valid id")
}

fn identity(issued: &IssuedCertificate) -> TlsIdentity {
    TlsIdentity::from_pem(&issued.certificate_pem, &issued.key_pem).expect("an identity")
}

fn dialer(tls: &ParticipantTls, address: SocketAddr, limits: &Limits) -> Dialer {
    Dialer::new(&address.to_string(), "localhost", tls, limits).expect("a dialer")
}

fn never_wait(waiting: &Waiting) {
    panic!("nothing to wait for, but: {waiting}");
}

/// Short enough for tests, long enough for a loaded machine.
fn quick() -> Limits {
    Limits {
        keep_alive_interval: Duration::from_millis(200),
        idle_timeout: Duration::from_millis(1500),
        stall_timeout: Duration::from_secs(5),
        ..Limits::default()
    }
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i * 31 + i / 251) as u8).collect()
}

async fn frame(link: &mut HospitalLink) -> Vec<u8> {
    match link.next().await {
        Incoming::Frame(frame) => frame,
        _ => panic!("a frame was expected"),
    }
}

async fn upload_request(link: &mut HospitalLink) -> UploadRequest {
    match link.next().await {
        Incoming::Upload(request) => request,
        _ => panic!("an upload was expected"),
    }
}

async fn download_request(link: &mut HospitalLink) -> DownloadRequest {
    match link.next().await {
        Incoming::Download(request) => request,
        _ => panic!("a download was expected"),
    }
}

async fn closed(link: &mut HospitalLink) -> Disconnect {
    match link.next().await {
        Incoming::Closed(disconnect) => disconnect,
        _ => panic!("the end of the link was expected"),
    }
}
