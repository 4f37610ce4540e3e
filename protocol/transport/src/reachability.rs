//! Whether a coordinator can be reached, without being a hospital to it: nothing is sent but handshakes.
//!
//! ```text
//! knock     any QUIC packet of a version that nobody speaks  -->   the versions that are spoken (RFC 9000, 6)
//! look_at   TLS 1.3, both certificates                       -->   handshake confirmed; closed, before any stream
//! ```
//!
//! A coordinator counts a hospital as connected from its first stream on: one that only looks takes nobody's place, and a run that is
//! under way does not hear of it.

use std::{
    io,
    net::SocketAddr,
    time::{Duration, Instant},
};

use quinn::{Connection, ConnectionError};
use tokio::{
    net::UdpSocket,
    time::{sleep, timeout},
};

use super::{
    Dialer, Limits, TransportError, datagrams,
    disconnect::{CloseCode, Disconnect},
    participant_side::any_local,
};

/// What a knock has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Knock {
    /// Something that speaks QUIC answers, after this time.
    Answered(Duration),
    /// The machine, or a firewall on the way, says that nobody listens there (ICMP).
    Refused,
    /// No answer.
    Silent,
}

/// What a look at one address of the coordinator has shown.
#[derive(Debug)]
pub enum Sight {
    /// It lets this hospital in.
    Open(PathSeen),
    /// It answers, and trying again would not help.
    Objects(TransportError),
    /// It answers, and does not let this hospital in now.
    Closed(Disconnect),
    /// Nothing is heard of it.
    Silent,
}

/// The way to a coordinator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathSeen {
    /// There and back, the shortest seen.
    pub round_trip: Duration,
    /// Payload of the longest datagram that has arrived so far.
    pub datagram_bytes: u16,
}

/// Sends datagrams of 1,200 bytes, which every way of QUIC must carry, until something answers. Needs no key. To be called inside a tokio
/// runtime.
///
/// # Errors
/// What the operating system says: no way there at all, for instance.
pub async fn knock(remote: SocketAddr, limit: Duration) -> io::Result<Knock> {
    let socket = UdpSocket::bind(any_local(remote)).await?;
    socket.connect(remote).await?;
    let began = Instant::now();
    while began.elapsed() < limit {
        let asked = Instant::now();
        let answered = async {
            socket.send(&question()).await?;
            let mut answer = [0; 2048];
            loop {
                let length = socket.recv(&mut answer).await?;
                if is_answer(&answer[..length]) {
                    return Ok(());
                }
            }
        };
        let left = limit.saturating_sub(began.elapsed());
        match timeout(left.min(BETWEEN_KNOCKS), answered).await {
            Ok(Ok(())) => return Ok(Knock::Answered(asked.elapsed())),
            Ok(Err(error)) if is_refusal(&error) => return Ok(Knock::Refused),
            Ok(Err(error)) => return Err(error),
            Err(_) => {}
        }
    }
    Ok(Knock::Silent)
}

fn is_refusal(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::ConnectionRefused
}

/// A long header of a version that is reserved to have others named in the answer, with our name as sender (RFC 8999, 5.1).
fn question() -> [u8; FIRST_DATAGRAM] {
    let mut datagram = [0; FIRST_DATAGRAM];
    datagram[0] = 0xc0;
    datagram[1..5].copy_from_slice(&RESERVED_VERSION.to_be_bytes());
    let mut at = 5;
    for name in [THEIR_NAME, OUR_NAME] {
        datagram[at] = name.len() as u8;
        datagram[at + 1..at + 1 + name.len()].copy_from_slice(name);
        at += 1 + name.len();
    }
    datagram
}

/// A negotiation of the version, to our name.
fn is_answer(datagram: &[u8]) -> bool {
    let Some((head, rest)) = datagram.split_at_checked(6) else {
        return false;
    };
    let is_negotiation = head[0] & 0x80 != 0 && head[1..5] == [0; 4];
    is_negotiation && usize::from(head[5]) == OUR_NAME.len() && rest.starts_with(OUR_NAME)
}

impl Dialer {
    /// Makes one handshake with the coordinator at `remote`, both certificates included, sees how long it takes and how long datagrams
    /// may be, and leaves. To be called inside a tokio runtime.
    ///
    /// # Errors
    /// [`TransportError::Bind`], [`TransportError::Configuration`]; what is wrong with the other end is a [`Sight`].
    pub async fn look_at(
        &self,
        remote: SocketAddr,
        limit: Duration,
    ) -> Result<Sight, TransportError> {
        let limits = Limits {
            idle_timeout: limit,
            ..self.limits.clone()
        };
        let mut config = self.config.clone();
        config.transport_config(limits.participant_config()?);
        let address = any_local(remote);
        let endpoint = datagrams::bind(address, None)
            .map_err(|source| TransportError::Bind { address, source })?;
        let connecting = endpoint.connect_with(config, remote, &self.server_name);
        let connecting = connecting.map_err(|error| TransportError::Configuration {
            detail: error.to_string(),
        })?;
        let sight = timeout(limit, async {
            match connecting.await {
                Ok(connection) => self.look_over(&connection).await,
                Err(error) => self.sight_of(error),
            }
        });
        let sight = sight.await.unwrap_or(Sight::Silent);
        // The goodbye is a courtesy.
        let _ = timeout(GOODBYE, endpoint.wait_idle()).await;
        Ok(sight)
    }

    /// In TLS 1.3 a client is done before the server has seen its certificate: that it does is confirmed by a frame of QUIC
    /// (RFC 9001, 4.1.2).
    async fn look_over(&self, connection: &Connection) -> Sight {
        loop {
            if let Some(error) = connection.close_reason() {
                return self.sight_of(error);
            }
            if connection.stats().frame_rx.handshake_done > 0 {
                break;
            }
            sleep(BETWEEN_LOOKS).await;
        }
        let seen = || PathSeen {
            round_trip: connection.min_rtt(),
            datagram_bytes: connection.stats().path.current_mtu,
        };
        let began = Instant::now();
        let (mut path, mut since) = (seen(), Instant::now());
        while began.elapsed() < LONGEST_LOOK && since.elapsed() < TO_SETTLE {
            sleep(BETWEEN_LOOKS).await;
            if seen().datagram_bytes != path.datagram_bytes {
                since = Instant::now();
            }
            path = seen();
        }
        connection.close(
            CloseCode::Done.to_wire(),
            b"only looked whether the coordinator can be reached",
        );
        Sight::Open(path)
    }

    fn sight_of(&self, error: ConnectionError) -> Sight {
        let told = match &error {
            ConnectionError::TimedOut => return Sight::Silent,
            other => Disconnect::from(other.clone()),
        };
        match self.objection(error) {
            Ok(objection) => Sight::Objects(objection),
            Err(_) => Sight::Closed(told),
        }
    }
}

/// The least that every way of QUIC carries (RFC 9000, 14).
const FIRST_DATAGRAM: usize = 1200;
/// One of those that no version will have (RFC 9000, 15).
const RESERVED_VERSION: u32 = 0x1a2a_3a4a;
const THEIR_NAME: &[u8] = b"myelin/?";
const OUR_NAME: &[u8] = b"knocking";
const BETWEEN_KNOCKS: Duration = Duration::from_millis(700);
const BETWEEN_LOOKS: Duration = Duration::from_millis(10);
/// The length of datagrams is found out by trying: so long without a longer one that has arrived.
const TO_SETTLE: Duration = Duration::from_millis(400);
/// The coordinator waits for a first stream for three seconds.
const LONGEST_LOOK: Duration = Duration::from_millis(1500);
const GOODBYE: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_question_has_the_bytes_of_the_standard() {
        let question = question();
        let head = b"\xc0\x1a\x2a\x3a\x4a\x08myelin/?\x08knocking\0";
        assert_eq!(&question[..head.len()], head);
        assert_eq!(question.len(), 1200);
    }

    #[test]
    fn only_an_answer_to_us_is_one() {
        let answer = b"\xd3\0\0\0\0\x08knocking\x08myelin/?\0\0\0\x01";
        assert!(is_answer(answer));
        for length in 0..14 {
            assert!(!is_answer(&answer[..length]), "{length}");
        }
        let mut other = *answer;
        other[4] = 1;
        assert!(!is_answer(&other));
        let mut to_another = *answer;
        to_another[6] ^= 1;
        assert!(!is_answer(&to_another));
    }
}
