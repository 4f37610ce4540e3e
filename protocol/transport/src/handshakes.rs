//! Why two end-points did not come together: whose certificate was at fault, and what to do about it.

use std::fmt;

use quinn::ConnectionError;

use super::disconnect::Disconnect;
use super::printable::printable;

/// What is wrong with a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertificateProblem {
    /// Another authority signed it.
    OtherAuthority,
    /// The right authority signed it, but its key is not the one the roster pins.
    UnknownKey {
        /// The key in question, in the words of the side that looked.
        detail: String,
    },
    /// There is none.
    Missing,
    /// It is not valid now.
    NotValidNow,
    /// Anything else: another name, another purpose, damaged.
    Unusable {
        /// What TLS says.
        detail: String,
    },
}

impl CertificateProblem {
    pub(super) fn advice(&self) -> &'static str {
        match self {
            Self::OtherAuthority => {
                "check ca_certificate and certificate in the settings of both sides: they must come from one federation"
            }
            Self::UnknownKey { .. } => {
                "check that both sides have the same roster and that certificate is the one it lists; a hospital that has left the federation, or \
                 was removed, is on no later roster"
            }
            Self::Missing => "check certificate and private_key in the settings",
            Self::NotValidNow => {
                "check the clocks of both machines, then ask for a new certificate"
            }
            Self::Unusable { .. } => {
                "check the coordinator's address and name in the settings, then the certificate"
            }
        }
    }

    /// From a TLS alert (RFC 8446, section 6.2), if it is one about certificates.
    fn from_alert(alert: u8, detail: &str) -> Option<Self> {
        // What rustls writes around the words of a verifier of one's own is nothing for people.
        let detail = || {
            detail
                .trim_start_matches("invalid peer certificate: ")
                .trim_start_matches("Other(OtherError(\"")
                .trim_end_matches("\"))")
                .to_owned()
        };
        match alert {
            48 => Some(Self::OtherAuthority),
            46 => Some(Self::UnknownKey { detail: detail() }),
            116 => Some(Self::Missing),
            45 => Some(Self::NotValidNow),
            42..=44 | 51 => Some(Self::Unusable { detail: detail() }),
            _ => None,
        }
    }
}

impl fmt::Display for CertificateProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherAuthority => f.write_str("the certificate is signed by another authority"),
            Self::UnknownKey { detail } => {
                write!(f, "the certificate is not the one on the roster ({detail})")
            }
            Self::Missing => f.write_str("no certificate was shown"),
            Self::NotValidNow => f.write_str("the certificate has expired or is not valid yet"),
            Self::Unusable { detail } => {
                write!(f, "the certificate does not serve here ({detail})")
            }
        }
    }
}

/// How a handshake failed: which side objected, and to what.
pub(super) enum HandshakeFailure {
    /// We do not accept the peer's certificate.
    Objection(CertificateProblem),
    /// The peer does not accept ours.
    PeerObjection(CertificateProblem),
    /// No protocol in common; trying again will not help.
    Incompatible(String),
    /// Nobody there, or not yet.
    Unreachable(String),
}

impl From<ConnectionError> for HandshakeFailure {
    fn from(error: ConnectionError) -> Self {
        match error {
            ConnectionError::TransportError(ours) => {
                // Our own words, but names from the peer's certificate may stand in them.
                let reason = printable(ours.reason.as_bytes());
                match tls_alert(ours.code.into()) {
                    Some(alert) => CertificateProblem::from_alert(alert, &reason)
                        .map_or(Self::Incompatible(reason), Self::Objection),
                    None => Self::Unreachable(format!("{} {reason}", ours.code)),
                }
            }
            ConnectionError::ConnectionClosed(theirs) => {
                let reason = printable(&theirs.reason);
                match tls_alert(theirs.error_code.into()) {
                    Some(alert) => CertificateProblem::from_alert(alert, &reason)
                        .map_or(Self::Incompatible(reason), Self::PeerObjection),
                    None => Self::Unreachable(format!("{} {reason}", theirs.error_code)),
                }
            }
            ConnectionError::VersionMismatch => {
                Self::Incompatible("another version of QUIC".to_owned())
            }
            ConnectionError::TimedOut => Self::Unreachable("no answer".to_owned()),
            other => Self::Unreachable(Disconnect::from(other).to_string()),
        }
    }
}

/// The TLS alert inside a QUIC error code (RFC 9001, section 4.8).
fn tls_alert(code: u64) -> Option<u8> {
    code.checked_sub(0x100)
        .and_then(|alert| u8::try_from(alert).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alerts_about_certificates_are_told_apart() {
        use rustls::AlertDescription as Alert;
        let problem = |alert: Alert| CertificateProblem::from_alert(alert.into(), "why");
        let detail = || "why".to_owned();
        assert_eq!(
            problem(Alert::UnknownCA),
            Some(CertificateProblem::OtherAuthority)
        );
        assert_eq!(
            problem(Alert::CertificateExpired),
            Some(CertificateProblem::NotValidNow)
        );
        assert_eq!(
            problem(Alert::CertificateRequired),
            Some(CertificateProblem::Missing)
        );
        assert_eq!(
            problem(Alert::CertificateUnknown),
            Some(CertificateProblem::UnknownKey { detail: detail() })
        );
        for alert in [
            Alert::BadCertificate,
            Alert::UnsupportedCertificate,
            Alert::CertificateRevoked,
            Alert::DecryptError,
        ] {
            assert_eq!(
                problem(alert),
                Some(CertificateProblem::Unusable { detail: detail() })
            );
        }
        assert_eq!(problem(Alert::NoApplicationProtocol), None);
    }
}
