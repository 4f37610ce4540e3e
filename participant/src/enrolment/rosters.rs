//! The rosters of this hospital: the one that holds, the one it has signed, the one the coordinator offers.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crypto::hash::Digest;
use host::replaced_file::replace;
use protocol::{
    HospitalId,
    digests::RosterHash,
    enrolment::{Ask, EnrolmentReply},
    identity::{PublicKey, SigningKey},
    roster::{MAX_ROSTER_BYTES, MissingSignatures, Roster, RosterError, RosterFile},
    spoken::{Length, is_spoken},
};

use super::desk::{DeskError, MemberDesk};

/// The roster's file, and beside it, with the ending `signed`, the hash of what was signed last.
pub struct RosterFiles {
    path: PathBuf,
    hospital: HospitalId,
    key: PublicKey,
    tls_fingerprint: Digest,
}

/// A roster from the coordinator: valid but for signatures, not believed yet.
pub struct Offered {
    /// As it came.
    pub file: RosterFile,
    /// Checked without signatures.
    pub roster: Roster,
    /// The one before it.
    pub previous: Option<Roster>,
    /// Whether the coordinator says that it holds.
    pub is_published: bool,
    /// Whether this hospital is a member of it.
    pub includes_us: bool,
    /// Whether it is, or follows, the roster that holds here; so does any where there is none.
    pub follows: bool,
}

impl RosterFiles {
    /// Of the hospital with this number and these keys, with the roster at `path`.
    pub fn new(path: &Path, hospital: HospitalId, key: PublicKey, tls_fingerprint: Digest) -> Self {
        Self {
            path: path.to_owned(),
            hospital,
            key,
            tls_fingerprint,
        }
    }

    /// The roster that holds here, if there is one.
    ///
    /// # Errors
    /// [`RosterRefused`].
    pub fn current(&self) -> Result<Option<Roster>, RosterRefused> {
        let Some(text) = self.read(&self.path)? else {
            return Ok(None);
        };
        Ok(Some(Roster::from_json(&text)?))
    }

    /// Asks the coordinator for the roster that is to be signed, or that holds, and checks that it can be this hospital's.
    ///
    /// # Errors
    /// [`RosterRefused`].
    pub async fn offered(&self, desk: &MemberDesk<'_>) -> Result<Offered, RosterRefused> {
        self.asked(desk, Ask::Roster).await
    }

    /// The same of the roster that holds, whatever is to be signed.
    ///
    /// # Errors
    /// [`RosterRefused`].
    pub async fn published(&self, desk: &MemberDesk<'_>) -> Result<Offered, RosterRefused> {
        self.asked(desk, Ask::PublishedRoster).await
    }

    async fn asked(&self, desk: &MemberDesk<'_>, ask: Ask) -> Result<Offered, RosterRefused> {
        let (file, is_published) = match desk.ask(ask).await? {
            EnrolmentReply::Roster { file, is_published } => (file.0, is_published),
            EnrolmentReply::NoRoster => return Err(RosterRefused::None),
            _ => return Err(DeskError::OtherAnswer.into()),
        };
        let text = String::from_utf8(file).map_err(|_| DeskError::OtherAnswer)?;
        let file = RosterFile::from_json(&text)?;
        let roster = file.check_draft()?;
        let previous = file.previous()?;
        let includes_us = self.includes_us(&roster)?;
        let was_in = previous.as_ref().map(|previous| self.includes_us(previous));
        if !includes_us && !was_in.transpose()?.unwrap_or(false) {
            return Err(RosterRefused::WithoutUs);
        }
        let current = self.current()?;
        let follows = current.is_none_or(|current| is_or_follows(&roster, &current));
        Ok(Offered {
            file,
            roster,
            previous,
            is_published,
            includes_us,
            follows,
        })
    }

    /// Signs what is offered, after `words` were compared with others, and gives what signatures are missing then.
    ///
    /// # Errors
    /// [`RosterRefused`].
    pub async fn sign(
        &self,
        desk: &MemberDesk<'_>,
        offered: &Offered,
        words: &str,
        key: &SigningKey,
    ) -> Result<MissingSignatures, RosterRefused> {
        let hash = offered.roster.hash();
        if !offered.follows {
            return Err(self.other_history());
        }
        check_words(words, &offered.roster)?;
        let ask = Ask::Sign {
            roster: hash,
            signature: key.sign_digest(hash.as_bytes()),
        };
        // First: what was signed is known here when it is published.
        let signed = self.signed_path();
        replace(&signed, hex::encode(hash).as_bytes()).map_err(|source| RosterRefused::File {
            path: signed,
            source,
        })?;
        match desk.ask(ask).await? {
            EnrolmentReply::Signed {
                missing,
                missing_of_previous,
            } => Ok(MissingSignatures {
                members: missing.0.into_iter().map(|id| id.0).collect(),
                of_previous: missing_of_previous.try_into().unwrap_or(usize::MAX),
            }),
            _ => Err(DeskError::OtherAnswer.into()),
        }
    }

    /// Takes over a published roster: the one that was signed here, one that follows the one here, or, with `words`, one that was compared
    /// with others. Gives whether it is another one than before.
    ///
    /// # Errors
    /// [`RosterRefused`].
    pub fn take_over(&self, offered: &Offered, words: Option<&str>) -> Result<bool, RosterRefused> {
        if !offered.is_published {
            return Err(RosterRefused::NotPublished);
        }
        if !offered.includes_us {
            return Err(RosterRefused::WithoutUs);
        }
        // All signatures, of all epochs.
        let roster = offered.file.check()?;
        let current = self.current()?;
        if current
            .as_ref()
            .is_some_and(|current| current.hash() == roster.hash())
        {
            return Ok(false);
        }
        match words {
            Some(words) => check_words(words, &roster)?,
            // Looked at again: another command may have taken one over meanwhile.
            None => match current {
                Some(current) if is_or_follows(&roster, &current) => {}
                Some(_) => return Err(self.other_history()),
                None if self.signed()? == Some(roster.hash()) => {}
                None => return Err(RosterRefused::NotCompared),
            },
        }
        replace(&self.path, offered.file.to_json().as_bytes()).map_err(|source| {
            RosterRefused::File {
                path: self.path.clone(),
                source,
            }
        })?;
        Ok(true)
    }

    /// Whether this hospital has signed another roster than the one that holds here: it may be published by now.
    ///
    /// # Errors
    /// [`RosterRefused`].
    pub fn awaits_another(&self) -> Result<bool, RosterRefused> {
        let current = self.current()?.map(|current| current.hash());
        let signed = self.signed()?;
        Ok(current.is_none() || signed.is_some() && signed != current)
    }

    /// Whether this is the roster that was signed here last.
    ///
    /// # Errors
    /// [`RosterRefused`].
    pub fn has_signed(&self, roster: &Roster) -> Result<bool, RosterRefused> {
        Ok(self.signed()? == Some(roster.hash()))
    }

    fn other_history(&self) -> RosterRefused {
        RosterRefused::OtherHistory {
            path: self.path.clone(),
        }
    }

    fn signed(&self) -> Result<Option<RosterHash>, RosterRefused> {
        let text = self.read(&self.signed_path())?;
        let mut hash = [0; 32];
        let decoded = text.map(|text| hex::decode_to_slice(text.trim(), &mut hash));
        Ok(decoded
            .is_some_and(|decoded| decoded.is_ok())
            .then(|| hash.into()))
    }

    fn signed_path(&self) -> PathBuf {
        self.path.with_extension("signed")
    }

    fn includes_us(&self, roster: &Roster) -> Result<bool, RosterRefused> {
        match roster.member(self.hospital) {
            Some(member)
                if member.signing_key == self.key
                    && member.tls_fingerprint == self.tls_fingerprint =>
            {
                Ok(true)
            }
            Some(_) => Err(RosterRefused::OtherKey {
                hospital: self.hospital,
            }),
            None => Ok(false),
        }
    }

    fn read(&self, path: &Path) -> Result<Option<String>, RosterRefused> {
        let file = |source| RosterRefused::File {
            path: path.to_owned(),
            source,
        };
        match fs::metadata(path) {
            Ok(about) if about.len() > MAX_ROSTER_BYTES => {
                Err(file(io::Error::other("it is too long for a roster")))
            }
            Ok(_) => fs::read_to_string(path).map(Some).map_err(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(file(error)),
        }
    }
}

fn is_or_follows(roster: &Roster, current: &Roster) -> bool {
    roster.hash() == current.hash() || roster.comes_after(&current.hash())
}

fn check_words(words: &str, roster: &Roster) -> Result<(), RosterRefused> {
    if is_spoken(words, roster.hash().as_bytes(), Length::Long) {
        Ok(())
    } else {
        Err(RosterRefused::Words)
    }
}

/// Why a roster is not signed or taken over.
#[derive(Debug, thiserror::Error)]
pub enum RosterRefused {
    /// The desk.
    #[error(transparent)]
    Desk(#[from] DeskError),
    /// It is not valid.
    #[error("the roster is not valid: {0}")]
    Roster(#[from] RosterError),
    /// A file here.
    #[error("cannot read or write {}", path.display())]
    File {
        /// The path.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// Nothing to sign yet.
    #[error(
        "the coordinator has no such roster yet: its operator drafts one when all hospitals have joined, and publishes it when all have signed"
    )]
    None,
    /// Signatures are missing.
    #[error(
        "the roster is not published yet: the coordinator waits for signatures (`participant roster show`)"
    )]
    NotPublished,
    /// Others alone.
    #[error(
        "this hospital is not on the roster: it was removed, or is to be on a later one; ask the coordinator's operator"
    )]
    WithoutUs,
    /// Another hospital's key under this number.
    #[error(
        "the roster lists another key for hospital {hospital} than this hospital's: do not sign it; tell the other hospitals and the operator"
    )]
    OtherKey {
        /// This hospital's number.
        hospital: HospitalId,
    },
    /// Not from the roster here.
    #[error("the coordinator's roster does not follow the one in {}: do not sign it; compare both with the other hospitals, over the phone", path.display())]
    OtherHistory {
        /// The roster here.
        path: PathBuf,
    },
    /// Compared with another one.
    #[error(
        "these are not the words of the roster that the coordinator has sent: compare them with the other hospitals; `participant roster show` shows its own"
    )]
    Words,
    /// Nobody has looked at it.
    #[error(
        "this hospital has not signed this roster and has none that it follows: compare its fingerprint with the other hospitals, and give it with --fingerprint"
    )]
    NotCompared,
}

impl RosterRefused {
    /// Whether another try later may help.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::None | Self::NotPublished => true,
            Self::Desk(error) => error.is_passing(),
            _ => false,
        }
    }
}
