//! A web page for people at this machine, with `/healthz` and `/metrics` beside it.
//!
//! It is reached over loopback alone, behind a token that only the owner of the state folder can read. Everything it shows and fetches
//! is in the program: nothing comes from elsewhere.
//!
//! ```text
//! browser --HTTP on loopback--> server: places, time limits --> site: headers, door --> page, state, events, /metrics
//!                                                                                  '--> actions of the program
//! ```

mod door;
mod feed;
mod metrics;
mod server;
mod site;

use std::{io, net::SocketAddr, path::PathBuf};

pub use self::{
    door::{Door, TOKEN_FILE},
    feed::{Feed, looks, unix_secs},
    metrics::{Labels, Metrics},
    server::WebListener,
    site::{Health, Page, Site, told},
};

/// The address of a setting `web.listen`; nothing where it is empty.
///
/// # Errors
/// What was expected. An address that others can reach is refused: the token would travel unencrypted.
pub fn checked_address(text: &str) -> Result<Option<SocketAddr>, &'static str> {
    if text.is_empty() {
        return Ok(None);
    }
    match text.parse::<SocketAddr>() {
        Ok(address) if address.ip().is_loopback() => Ok(Some(address)),
        _ => Err(
            "nothing, or an address of this machine alone, such as 127.0.0.1:8080; from elsewhere reach it through ssh -L 8080:127.0.0.1:8080 \
             or a proxy with TLS",
        ),
    }
}

/// Why a page cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum WebError {
    /// Its address cannot be had.
    #[error(
        "cannot serve the web page at {address}; give another address with --web or web.listen"
    )]
    Address {
        /// The address.
        address: SocketAddr,
        /// What the operating system says.
        source: io::Error,
    },
    /// Its token can be neither read nor made.
    #[error("the access token of the web page, {}, cannot be used; give this program the right to read and write it, or remove it: another one is made", path.display())]
    Token {
        /// Its file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
}

#[cfg(test)]
mod tests;
