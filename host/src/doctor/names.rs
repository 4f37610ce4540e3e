//! Names of machines, as the system resolves them.

use std::{
    io,
    net::{SocketAddr, ToSocketAddrs as _},
    sync::mpsc,
    thread,
    time::Duration,
};

/// The addresses of a `host:port`, or why there are none within this time.
///
/// # Errors
/// [`Unresolved`].
pub fn resolve(address: &str, limit: Duration) -> Result<Vec<SocketAddr>, Unresolved> {
    let (tell, told) = mpsc::channel();
    let asked = address.to_owned();
    // The system's resolver knows no limit: a thread that waits for it is left behind.
    thread::spawn(move || {
        let found = asked.to_socket_addrs();
        let _ = tell.send(found.map(Iterator::collect::<Vec<_>>));
    });
    match told.recv_timeout(limit) {
        Ok(Ok(addresses)) if addresses.is_empty() => Err(Unresolved::None),
        Ok(Ok(addresses)) => Ok(addresses),
        Ok(Err(error)) => Err(Unresolved::Refused(error)),
        Err(_) => Err(Unresolved::NoAnswer(limit)),
    }
}

/// Why a name has no address.
#[derive(Debug, thiserror::Error)]
pub enum Unresolved {
    /// It is known, without one.
    #[error("the name has no address")]
    None,
    /// The resolver says so.
    #[error("{0}")]
    Refused(io::Error),
    /// The resolver says nothing.
    #[error("the name server has not answered for {} s", .0.as_secs())]
    NoAnswer(Duration),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_needs_no_name_server_and_nonsense_is_refused() {
        let limit = Duration::from_secs(20);
        let found = resolve("127.0.0.1:7443", limit).expect("an address");
        assert_eq!(found, [SocketAddr::from(([127, 0, 0, 1], 7443))]);
        assert!(matches!(
            resolve("no port", limit),
            Err(Unresolved::Refused(_))
        ));
    }
}
