//! Looks at a coordinator that is there, is not, or is another's.

use std::net::UdpSocket;

use super::*;

const LIMIT: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_look_sees_the_way_and_is_no_arrival() -> TestResult {
    let federation = Federation::new("trial");
    let limits = Limits::default();
    let mut listener = federation.listen(&limits);
    let address = listener.local_address()?;
    assert!(matches!(knock(address, LIMIT).await?, Knock::Answered(_)));
    let dialer = federation.dialer(1, address, &limits);
    let Sight::Open(path) = dialer.look_at(address, LIMIT).await? else {
        panic!("it is there");
    };
    assert!(path.datagram_bytes >= 1200, "{path:?}");
    assert!(path.round_trip < Duration::from_secs(1), "{path:?}");
    // What arrives next is the hospital itself: the look was none.
    let (link, arrived) = tokio::join!(dialer.connect(|_| ()), listener.accept());
    link?;
    assert_eq!(arrived.expect("open")?.hospital(), hospital(1));
    Ok(())
}

#[tokio::test]
async fn one_that_is_not_let_in_is_told_why() -> TestResult {
    let (federation, other) = (Federation::new("trial"), Federation::new("another"));
    let limits = Limits::default();
    let listener = federation.listen(&limits);
    let address = listener.local_address()?;
    // Hospital 3 is not on the roster.
    let unlisted = federation.dialer(3, address, &limits);
    assert!(matches!(
        unlisted.look_at(address, LIMIT).await?,
        Sight::Objects(TransportError::RefusedByCoordinator { .. })
    ));
    let stranger = other.dialer(1, address, &limits);
    assert!(matches!(
        stranger.look_at(address, LIMIT).await?,
        Sight::Objects(TransportError::UntrustedCoordinator { .. })
    ));
    Ok(())
}

#[tokio::test]
async fn where_nobody_is_nothing_is_heard() -> TestResult {
    let federation = Federation::new("trial");
    let limit = Duration::from_millis(300);
    // Somebody has the port, and says nothing.
    let mute = UdpSocket::bind("127.0.0.1:0")?;
    let address = mute.local_addr()?;
    assert_eq!(knock(address, limit).await?, Knock::Silent);
    let dialer = federation.dialer(1, address, &Limits::default());
    assert!(matches!(
        dialer.look_at(address, limit).await?,
        Sight::Silent
    ));
    drop(mute);
    assert_eq!(knock(address, limit).await?, Knock::Refused);
    Ok(())
}
