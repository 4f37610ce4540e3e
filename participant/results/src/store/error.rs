//! Why an archive does not have what it was sent.

use std::{io, path::PathBuf};

/// Longest part of what a peer says that is repeated.
const MAX_REASON: usize = 300;

/// Sending has stopped.
#[derive(Debug, thiserror::Error)]
#[error("{archive}: {fault} ({stored} objects were stored before)")]
pub struct StoreError {
    /// Where it is, and both names.
    pub archive: String,
    /// How many objects the archive has taken and answered for.
    pub stored: usize,
    /// What went wrong.
    #[source]
    pub fault: StoreFault,
}

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum StoreFault {
    /// A file that cannot be sent.
    #[error("{} cannot be sent: {reason}; write the results again", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// The cause, in words or as the library gives it.
        reason: String,
    },
    /// More kinds of objects than one association takes.
    #[error("the files are of {found} classes, which is too many at once; send them in parts")]
    Classes {
        /// How many.
        found: usize,
    },
    /// Nobody answers there.
    #[error(
        "no connection: {reason}; check host and port, that the archive runs, and firewalls between"
    )]
    Connect {
        /// What the system says.
        reason: String,
    },
    /// It hung up on us at once.
    #[error(
        "it refuses the association: {reason}; check both AE titles, and enter ours and this host in the archive's list of \
             applications that may store"
    )]
    Rejected {
        /// What it says.
        reason: String,
    },
    /// It takes no objects of the class.
    #[error(
        "it takes no objects of the class {class} in little endian; switch this storage class on in the archive"
    )]
    NotAccepted {
        /// UID of the class.
        class: String,
    },
    /// The connection was lost, or nothing came in time.
    #[error(
        "the connection was lost, or it did not answer in time: {source}; try again, with a longer timeout if it is slow"
    )]
    Wire {
        /// What the system says.
        source: io::Error,
    },
    /// Something that no archive says.
    #[error("an answer that is not as DICOM has it: {what}; is this the port of a DICOM archive?")]
    Protocol {
        /// What.
        what: String,
    },
    /// It has the object and does not keep it.
    #[error("it refuses {}: status {status:#06x}, {meaning}{comment}", path.display())]
    Refused {
        /// Which file.
        path: PathBuf,
        /// As PS3.4, B.2.3 has them.
        status: u16,
        /// What that means and what to do.
        meaning: &'static str,
        /// What the archive says besides.
        comment: String,
    },
}

impl StoreFault {
    /// From what the library says of an association.
    pub(super) fn of_association(error: dicom_ul::association::Error) -> Self {
        use dicom_ul::association::Error;
        let reason = chain(&error);
        match error {
            Error::ToAddress { .. } | Error::Connect { .. } => Self::Connect { reason },
            Error::Rejected { .. } | Error::Aborted { .. } => Self::Rejected { reason },
            Error::NoAcceptedPresentationContexts { .. } => Self::NotAccepted {
                class: "of these files".into(),
            },
            Error::UnexpectedPdu { .. } | Error::UnknownPdu { .. } => Self::Protocol {
                what: "an unexpected message".into(),
            },
            _ => Self::Wire {
                source: io::Error::other(reason),
            },
        }
    }
}

/// An error with those that it comes from, cut where that is long.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    plain(&text)
}

/// A peer's text on one line and of bounded length: it goes to a terminal.
pub(super) fn plain(text: &str) -> String {
    let printable = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    printable.take(MAX_REASON).collect()
}
