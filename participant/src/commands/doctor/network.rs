//! The way to the coordinator: its name, UDP, the length of datagrams, and who answers.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use host::doctor::{Check, resolve, told};
use participant::settings::{Credentials, Settings};
use tokio::{runtime, task::JoinSet};
use transport::{Dialer, Disconnect, Knock, PathSeen, Sight, TransportError, knock};

/// Without credentials it is only seen whether something that speaks QUIC answers.
pub fn look(settings: &Settings, credentials: Option<&Credentials>) -> Vec<Check> {
    let address = &settings.coordinator.address;
    let (host, port) = address.rsplit_once(':').unwrap_or((address, ""));
    let addresses = match resolve(address, TO_RESOLVE) {
        Ok(addresses) => addresses,
        Err(error) => {
            return vec![Check::failed(
                DNS,
                format!("{host} (setting `coordinator.address`) has no address here: {error}"),
                format!(
                    "see whether the name is written as the coordinator's operator has given it; if it is, ask the network people: \"Which \
                     name server resolves {host} for this machine?\", or set coordinator.address to an IP address and this port"
                ),
            )];
        }
    };
    let shown: Vec<_> = addresses.iter().map(|one| one.ip().to_string()).collect();
    let found = match host.trim_matches(['[', ']']).parse::<IpAddr>() {
        Ok(_) => format!("{host} is an address: no name has to be resolved"),
        Err(_) => format!("{host} is {}", shown.join(", ")),
    };
    let mut checks = vec![Check::good(DNS, found)];
    tracing::info!("looking whether the coordinator at {address} answers");
    let dialer = credentials.map(|known| known.dialer.clone());
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    let reached = match runtime {
        Ok(runtime) => runtime.block_on(reach(addresses, dialer)),
        Err(error) => (None, Reached::NoWay(error.to_string())),
    };
    checks.extend(told_of(reached, host, port, credentials.is_some()));
    checks
}

/// What was seen at an address.
#[derive(Debug)]
enum Reached {
    /// It lets this hospital in.
    Open(PathSeen),
    /// It does not, and why.
    Objects(TransportError),
    /// It has closed the connection.
    Closed(Disconnect),
    /// Something there speaks QUIC; more is not known.
    Knocked(Duration),
    /// Nobody listens there, says the machine or a firewall.
    Refused,
    /// The system sends nothing there.
    NoWay(String),
    /// Nothing is heard.
    Silent,
}

impl Reached {
    fn is_an_answer(&self) -> bool {
        !matches!(self, Self::Refused | Self::NoWay(_) | Self::Silent)
    }
}

/// All addresses at once, until one answers; else what is known of the last.
async fn reach(
    addresses: Vec<SocketAddr>,
    dialer: Option<Dialer>,
) -> (Option<SocketAddr>, Reached) {
    let mut looks = JoinSet::new();
    for remote in addresses.into_iter().take(MAX_ADDRESSES) {
        let dialer = dialer.clone();
        looks.spawn(async move { (remote, reach_one(remote, dialer).await) });
    }
    let mut last = (None, Reached::Silent);
    while let Some(Ok((remote, reached))) = looks.join_next().await {
        // A refusal says more than a system that has no way.
        let says_less = matches!(reached, Reached::NoWay(_)) && last.0.is_some();
        if reached.is_an_answer() {
            return (Some(remote), reached);
        }
        if !says_less {
            last = (Some(remote), reached);
        }
    }
    last
}

async fn reach_one(remote: SocketAddr, dialer: Option<Dialer>) -> Reached {
    let no_way = |error: &dyn std::fmt::Display| Reached::NoWay(error.to_string());
    let patience = match dialer {
        Some(_) => TO_ANSWER_A_KNOCK,
        None => TO_ANSWER,
    };
    let knocked = match knock(remote, patience).await {
        Ok(Knock::Answered(time)) => Some(Reached::Knocked(time)),
        // A device on the way may let known versions alone through.
        Ok(Knock::Silent) => None,
        Ok(Knock::Refused) => return Reached::Refused,
        Err(error) => return no_way(&error),
    };
    let Some(dialer) = dialer else {
        return knocked.unwrap_or(Reached::Silent);
    };
    match dialer.look_at(remote, TO_ANSWER).await {
        Ok(Sight::Open(path)) => Reached::Open(path),
        Ok(Sight::Objects(error)) => Reached::Objects(error),
        Ok(Sight::Closed(how)) => Reached::Closed(how),
        Ok(Sight::Silent) => knocked.unwrap_or(Reached::Silent),
        Err(error) => no_way(&told(error)),
    }
}

fn told_of(
    (remote, reached): (Option<SocketAddr>, Reached),
    host: &str,
    port: &str,
    has_credentials: bool,
) -> Vec<Check> {
    let remote = remote.map_or_else(|| format!("{host}:{port}"), |remote| remote.to_string());
    let answers = |more: String| Check::good(UDP, format!("{remote} answers{more}"));
    let unreached = |found: String| vec![Check::failed(UDP, found, request(host, port))];
    match reached {
        Reached::Open(path) => {
            let time = path.round_trip.as_secs_f64() * 1000.0;
            let bytes = path.datagram_bytes;
            vec![
                answers(format!(", over UDP; there and back in {time:.1} ms")),
                Check::good(
                    MTU,
                    format!(
                        "datagrams of {bytes} bytes arrive, perhaps longer ones; QUIC needs 1200"
                    ),
                ),
                Check::good(
                    COORDINATOR,
                    "it is the one that the roster lists, and lets this hospital in",
                ),
            ]
        }
        Reached::Objects(error) => vec![
            answers(", over UDP".to_owned()),
            Check::failed(
                COORDINATOR,
                told(error),
                "compare roster, release and clock with the coordinator's operator",
            ),
        ],
        Reached::Closed(how) => vec![
            answers(", over UDP".to_owned()),
            Check::warning(
                COORDINATOR,
                format!("it has ended the handshake: {how}"),
                "look again in a minute: it may be stopping, or have too many at its door; else ask its operator for its log",
            ),
        ],
        Reached::Knocked(time) => {
            let time = time.as_secs_f64() * 1000.0;
            let mut checks = vec![answers(format!(", over UDP, in {time:.1} ms"))];
            checks.push(match has_credentials {
                false => Check::good(MTU, "datagrams of 1200 bytes get there, as QUIC needs"),
                true => Check::warning(
                    MTU,
                    "datagrams of 1200 bytes get there; whether they come back was not seen",
                    format!(
                        "if the coordinator is well, ask the network people: {}",
                        request(host, port)
                    ),
                ),
            });
            if has_credentials {
                checks.push(Check::warning(
                    COORDINATOR,
                    format!("it speaks QUIC, and has not ended a handshake within {} s", TO_ANSWER.as_secs()),
                    "ask its operator whether it is overloaded, or whether another program has this port",
                ));
            }
            checks
        }
        Reached::Refused => unreached(format!(
            "{remote} refuses: nobody listens at this port, or a firewall on the way turns it down"
        )),
        Reached::NoWay(error) => unreached(format!("this machine has no way to {remote}: {error}")),
        Reached::Silent => unreached(format!(
            "no answer from {remote} within {} s: the coordinator does not run, or the firewall does not let UDP through (or no datagram \
             of 1200 bytes, the least that QUIC needs)",
            TO_ANSWER.as_secs()
        )),
    }
}

/// For the operator, and for those who have the firewall.
fn request(host: &str, port: &str) -> String {
    format!(
        "ask the coordinator's operator whether `coordinator serve` runs there, at this port. If it does, hand this to the network people:\n\
         \"Please let UDP packets out from this machine to {host} port {port} and their answers back in; the program speaks QUIC (RFC 9000) \
         there. TCP is not needed. Datagrams of 1200 bytes of payload must pass unfragmented.\""
    )
}

const DNS: &str = "dns";
const UDP: &str = "udp";
const MTU: &str = "mtu";
const COORDINATOR: &str = "coordinator";
const TO_RESOLVE: Duration = Duration::from_secs(10);
const TO_ANSWER_A_KNOCK: Duration = Duration::from_millis(1500);
const TO_ANSWER: Duration = Duration::from_secs(10);
const MAX_ADDRESSES: usize = 16;

#[cfg(test)]
mod tests {
    use host::doctor::Finding;

    use super::*;

    fn seen(reached: Reached) -> Vec<Check> {
        let remote = Some(SocketAddr::from(([192, 0, 2, 7], 7443)));
        told_of((remote, reached), "coordinator.example.org", "7443", true)
    }

    #[test]
    fn without_an_answer_there_is_a_text_for_the_network_people() {
        for reached in [
            Reached::Silent,
            Reached::Refused,
            Reached::NoWay("Network is unreachable".to_owned()),
        ] {
            let checks = seen(reached);
            let [check] = checks.as_slice() else {
                panic!("{checks:?}");
            };
            assert_eq!((check.name, check.finding), (UDP, Finding::Failed));
            let remedy = check.remedy.as_deref().expect("one");
            let asked = "to coordinator.example.org port 7443";
            assert!(remedy.contains(asked) && remedy.contains("TCP is not needed"));
        }
    }

    #[test]
    fn one_that_answers_is_reachable_whatever_it_says() {
        let path = PathSeen {
            round_trip: Duration::from_micros(1234),
            datagram_bytes: 1452,
        };
        let checks = seen(Reached::Open(path));
        assert!(checks.iter().all(Check::is_good), "{checks:?}");
        assert!(checks[0].found.contains("1.2 ms") && checks[1].found.contains("1452"));
        let error = TransportError::Handshake {
            address: "192.0.2.7:7443".to_owned(),
            detail: "no protocol".to_owned(),
        };
        for (reached, finding) in [
            (Reached::Objects(error), Finding::Failed),
            (Reached::Closed(Disconnect::Vanished), Finding::Warning),
            (Reached::Knocked(Duration::ZERO), Finding::Warning),
        ] {
            let checks = seen(reached);
            assert!(checks[0].is_good() && checks[0].name == UDP, "{checks:?}");
            let last = checks.last().expect("some");
            assert_eq!((last.name, last.finding), (COORDINATOR, finding));
        }
    }
}
