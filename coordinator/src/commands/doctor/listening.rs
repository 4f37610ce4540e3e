//! Whether hospitals can reach it: the port, and the address that they are told.

use std::{
    io,
    net::{IpAddr, SocketAddr, UdpSocket},
    time::Duration,
};

use coordinator::{
    control::{Answer, ControlError, Request, ask},
    settings::{Settings, host_of},
};
use host::doctor::{Check, resolve, told};

/// Opens the port for a moment, unless a coordinator that runs has it.
pub fn look(settings: &Settings) -> Vec<Check> {
    vec![running(settings), public(settings)]
}

fn running(settings: &Settings) -> Check {
    match ask(&settings.state, Request::Status) {
        Ok(Answer::Status(status)) => Check::good(
            UDP,
            format!(
                "a coordinator runs here, with the run {:?}: {}",
                status.name, status.phase
            ),
        ),
        Ok(Answer::Idle { .. }) => Check::good(UDP, "a coordinator runs here, and waits for a run"),
        Err(ControlError::NotRunning { .. }) => port(settings.listen),
        Ok(Answer::Done | Answer::Refused { .. }) => Check::warning(
            UDP,
            "a coordinator of another release runs here",
            "use the programs of one release",
        ),
        Err(error @ ControlError::NoAnswer { .. }) => Check::warning(
            UDP,
            told(error),
            "look into its log; a coordinator that stands still goes on by itself when it can write",
        ),
    }
}

fn port(listen: SocketAddr) -> Check {
    let port = listen.port();
    match UdpSocket::bind(listen) {
        Ok(_) => Check::good(
            UDP,
            format!(
                "no coordinator runs here, and {listen} is free; the firewall must let UDP in to port {port} from the hospitals. TCP is not \
                 needed"
            ),
        ),
        Err(error) => {
            let remedy = match error.kind() {
                io::ErrorKind::AddrInUse => format!(
                    "see which program has the port: ss -lunp 'sport = {port}'; end it, or set `listen` to another port"
                ),
                io::ErrorKind::AddrNotAvailable => format!(
                    "this machine has no such address: set listen = \"0.0.0.0:{port}\" or \"[::]:{port}\""
                ),
                _ => "set `listen` to a port above 1023, or give the right to use it".to_owned(),
            };
            Check::failed(UDP, format!("cannot listen at {listen}: {error}"), remedy)
        }
    }
}

/// Where there is no authority key, nobody is invited, and the hospitals' settings say where it is.
fn public(settings: &Settings) -> Check {
    let public = &settings.public;
    let invites = settings.keys.authority_key.exists();
    let addresses = match resolve(public, TO_RESOLVE) {
        Ok(addresses) => addresses,
        Err(error) => {
            return Check::warning(
                PUBLIC,
                format!("{} has no address here: {error}", host_of(public)),
                "see whether it has one at the hospitals; else have the name entered, or set `public` to one that is known",
            );
        }
    };
    let shown: Vec<_> = addresses.iter().map(|one| one.ip().to_string()).collect();
    let found = format!("hospitals are told {public}, which is {}", shown.join(", "));
    let is_here_alone = |address: &SocketAddr| is_here_alone(address.ip());
    match addresses.iter().all(is_here_alone) {
        true if invites => Check::warning(
            PUBLIC,
            format!("{found}: hospitals elsewhere cannot reach it there"),
            "set listen = \"0.0.0.0:7443\" and `public` to the host:port under which hospitals reach this machine, before you invite them",
        ),
        true if settings.listen.ip().is_loopback() => Check::good(
            PUBLIC,
            format!(
                "it listens at {}, for hospitals on this machine alone",
                settings.listen
            ),
        ),
        true => Check::good(
            PUBLIC,
            format!(
                "it listens at {}; the hospitals' settings say where that is",
                settings.listen
            ),
        ),
        false if settings.listen.ip().is_loopback() => Check::warning(
            PUBLIC,
            format!("{found}, and it listens at {} alone", settings.listen),
            "set listen = \"0.0.0.0:7443\", unless something on this machine hands UDP on",
        ),
        false => Check::good(PUBLIC, found),
    }
}

/// Or at every address of this machine, which says nothing to others.
fn is_here_alone(address: IpAddr) -> bool {
    address.is_loopback() || address.is_unspecified()
}

const UDP: &str = "udp";
const PUBLIC: &str = "public";
const TO_RESOLVE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use std::fs;

    use host::doctor::Finding;

    use super::*;

    #[test]
    fn who_invites_is_told_what_hospitals_elsewhere_cannot_reach() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("coordinator.toml");
        let found = |listen: &str, told: &str| {
            let text = format!("listen = \"{listen}\"\npublic = \"{told}\"\n");
            fs::write(&file, text).expect("written");
            public(&Settings::load(&file, [], &[]).expect("sound")).finding
        };
        assert_eq!(found("127.0.0.1:7443", ""), Finding::Good);
        fs::create_dir(folder.path().join("keys")).expect("made");
        fs::write(folder.path().join("keys/authority.key"), "").expect("written");
        for (listen, told, finding) in [
            ("127.0.0.1:7443", "", Finding::Warning),
            ("0.0.0.0:7443", "", Finding::Warning),
            ("127.0.0.1:7443", "192.0.2.1:7443", Finding::Warning),
            ("0.0.0.0:7443", "192.0.2.1:7443", Finding::Good),
        ] {
            assert_eq!(found(listen, told), finding, "{listen} {told}");
        }
    }

    #[test]
    fn a_port_that_another_program_has_is_named() {
        let taken = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        let address = taken.local_addr().expect("bound");
        let check = port(address);
        assert_eq!(check.finding, Finding::Failed, "{check:?}");
        let number = address.port().to_string();
        assert!(check.remedy.expect("one").contains(&number));
        drop(taken);
        assert!(port(address).is_good());
        let elsewhere = port(SocketAddr::from(([192, 0, 2, 1], 7443)));
        assert_eq!(elsewhere.finding, Finding::Failed, "{elsewhere:?}");
    }
}
