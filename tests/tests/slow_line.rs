//! Transfers over a line on which what is under way takes longer than a peer may take for one step.

use std::{net::Ipv4Addr, time::Duration};

use coordinator::demo::{Demo, Place};
use crypto::sealed_sum::HospitalId;
use system_tests::udp_relay::{Line, UdpRelay};
use tokio::time::timeout;
use transport::{
    CoordinatorLink, Dialer, HospitalLink, Incoming, Limits, Listener,
    certificates::KeyFingerprint,
    tls::{CoordinatorTls, HospitalKeys, ParticipantTls},
};

/// All of it is handed over at once, and takes seconds to arrive.
const BLOB_BYTES: usize = 300_000;
/// More than QUIC takes from the coordinator at once: the rest takes longer than a peer may take for one step.
const FRAME_BYTES: usize = 3 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_is_not_given_up_while_its_end_is_under_way() {
    let limits = Limits {
        stall_timeout: Duration::from_secs(1),
        ..Limits::default()
    };
    let (relay, _listener, link, mut arrived) = linked(&limits).await;
    relay.set(slow());
    let taken = tokio::spawn(async move { take(&mut arrived).await });
    let blob = vec![7; BLOB_BYTES];
    let blobs = link.blobs();
    let upload = blobs.upload([1; 32], &blob, |_| {});
    let result = timeout(Duration::from_secs(120), upload).await;
    result.expect("it ends").expect("it is accepted");
    drop(link);
    assert!(taken.await.expect("no panic") == blob);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_frame_of_the_coordinator_is_not_given_up_while_it_is_under_way() {
    let limits = Limits {
        stall_timeout: Duration::from_secs(2),
        ..Limits::default()
    };
    let (relay, listener, mut link, arrived) = linked(&limits).await;
    relay.set(slow());
    let frame = vec![7; FRAME_BYTES];
    let sender = arrived.sender();
    sender.send(frame.clone()).await.expect("it is open");
    let received = timeout(Duration::from_secs(120), link.receive()).await;
    assert!(received.expect("it ends").expect("it is not given up") == frame);
    drop((arrived, listener));
}

/// Takes the upload that comes, and accepts it.
async fn take(link: &mut HospitalLink) -> Vec<u8> {
    let request = loop {
        match link.next().await {
            Incoming::Upload(request) => break request,
            Incoming::Closed(disconnect) => panic!("{disconnect}"),
            _ => {}
        }
    };
    let mut bytes = Vec::new();
    let mut upload = request.accept(0).await.expect("it goes on");
    while let Some(leaf) = upload.next_leaf().await.expect("another one") {
        bytes.extend(leaf);
    }
    upload.accept().await.expect("it is told");
    // The link lives until it is closed at the other end.
    while !matches!(link.next().await, Incoming::Closed(_)) {}
    bytes
}

/// A hospital and its coordinator, over a line without faults yet.
async fn linked(limits: &Limits) -> (UdpRelay, Listener, CoordinatorLink, HospitalLink) {
    let demo = Demo::generate(2, Place::default()).expect("two hospitals");
    let mut listener = listener(&demo, limits);
    let relay = UdpRelay::to(listener.local_address().expect("an address"), 1);
    let dialer = dialer(&demo, &relay.address().to_string(), limits);
    let (dialed, arrived) = tokio::join!(dialer.connect(|_| {}), listener.accept());
    let arrived = arrived.expect("it listens").expect("it is let in");
    (relay, listener, dialed.expect("it is let in"), arrived)
}

fn slow() -> Line {
    Line {
        loss_percent: 5,
        delay: Duration::from_millis(100),
        ..Line::default()
    }
}

fn listener(demo: &Demo, limits: &Limits) -> Listener {
    let keys = demo
        .roster
        .members()
        .map(|member| (member.id, KeyFingerprint::from(member.tls_fingerprint)));
    let keys = HospitalKeys::new(keys).expect("distinct keys");
    let identity = demo.coordinator.tls_identity().expect("a pair");
    let authority = demo.trusted_authority().expect("a trust root");
    let tls = CoordinatorTls::new(&identity, &authority, keys).expect("a configuration");
    Listener::bind((Ipv4Addr::LOCALHOST, 0).into(), &tls, limits).expect("bound")
}

fn dialer(demo: &Demo, address: &str, limits: &Limits) -> Dialer {
    let id = HospitalId::new(1).expect("in range");
    let identity = demo.hospitals[&id].tls_identity().expect("a pair");
    let authority = demo.trusted_authority().expect("a trust root");
    let coordinator = KeyFingerprint::from(demo.roster.coordinator_tls_fingerprint());
    let tls = ParticipantTls::new(&identity, &authority, coordinator).expect("a configuration");
    Dialer::new(address, "localhost", &tls, limits).expect("a dialer")
}
