//! The next roster: drafted from the members, signed by hospitals, published.

use protocol::{
    HospitalId,
    digests::RosterHash,
    roster::{
        MissingSignatures, PeerKeys, Roster, RosterError, RosterFile, RosterSignature, SUITE,
    },
};

use super::{Members, MembersError};

/// Who signs for the coordinator and the operator on a roster that is drafted.
pub struct OtherKeys {
    /// The coordinator's.
    pub coordinator: PeerKeys,
    /// The operator's public key.
    pub operator_key: [u8; 32],
}

impl Members {
    /// Drafts the next roster: all members, after the one that is published. A draft that is there, with its signatures, is replaced.
    ///
    /// # Errors
    /// [`RosterDraftError`].
    pub fn draft(&mut self, others: OtherKeys) -> Result<RosterFile, RosterDraftError> {
        let published = self.published_roster()?;
        let members = self.all()?;
        let hospitals: Vec<_> = members.iter().filter_map(super::Member::entry).collect();
        let mut file = match &published {
            Some(published) => published.next_epoch()?,
            None => RosterFile {
                suite: SUITE,
                epoch: 1,
                hospitals: Vec::new(),
                coordinator: others.coordinator.clone(),
                operator_key: others.operator_key,
                signatures: Vec::new(),
                history: Vec::new(),
            },
        };
        file.hospitals = hospitals;
        file.coordinator = others.coordinator;
        file.operator_key = others.operator_key;
        file.check_draft()?;
        self.put_draft(&file)?;
        Ok(file)
    }

    /// Adds a hospital's signature to the draft that it was made for.
    ///
    /// # Errors
    /// [`RosterDraftError`].
    pub fn add_signature(
        &mut self,
        hospital: HospitalId,
        roster: &RosterHash,
        signature: &[u8; 64],
    ) -> Result<MissingSignatures, RosterDraftError> {
        let changed = self.change_draft(|draft| {
            let drafted = draft.check_draft()?;
            if drafted.hash() != *roster {
                return Err(RosterDraftError::Changed);
            }
            let previous = draft.previous()?;
            let key_in = |roster: &Roster| roster.member(hospital).map(|member| member.signing_key);
            let key = key_in(&drafted).or_else(|| previous.as_ref().and_then(key_in));
            let is_signed = key.is_some_and(|key| key.verifies(roster.as_bytes(), signature));
            if !is_signed {
                return Err(RosterDraftError::Signature { hospital });
            }
            draft.signatures.retain(|entry| entry.id != hospital.get());
            draft.signatures.push(RosterSignature {
                id: hospital.get(),
                signature: *signature,
            });
            Ok(())
        })?;
        let draft = changed.ok_or(RosterDraftError::NoDraft)?;
        Ok(draft.missing_signatures()?)
    }

    /// The draft, once all signatures that it needs are there.
    ///
    /// # Errors
    /// [`RosterDraftError::Unsigned`] names who has to sign.
    pub fn signed_draft(&self) -> Result<RosterFile, RosterDraftError> {
        let draft = match self.last_roster()? {
            Some((draft, false)) => draft,
            _ => return Err(RosterDraftError::NoDraft),
        };
        let missing = draft.missing_signatures()?;
        if !missing.is_none() {
            return Err(RosterDraftError::Unsigned(Unsigned {
                names: names(&draft, &missing.members),
                of_previous: missing.of_previous,
            }));
        }
        draft.check()?;
        Ok(draft)
    }
}

/// The names on a roster of these numbers.
pub fn names(file: &RosterFile, numbers: &[HospitalId]) -> Vec<String> {
    let name = |number: &HospitalId| {
        let entry = file.hospitals.iter().find(|entry| entry.id == number.get());
        entry.map_or_else(|| number.to_string(), |entry| entry.name.clone())
    };
    numbers.iter().map(name).collect()
}

/// Whose signatures a draft lacks, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsigned {
    /// Of members that have to sign.
    pub names: Vec<String>,
    /// How many more of the previous roster.
    pub of_previous: usize,
}

impl std::fmt::Display for Unsigned {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names = self.names.join(", ");
        match (self.names.is_empty(), self.of_previous) {
            (false, 0) => f.write_str(&names),
            (true, more) => write!(f, "{more} more hospitals of the roster before"),
            (false, more) => write!(f, "{names}, and {more} more hospitals of the roster before"),
        }
    }
}

/// Why there is no roster, or no signature to it.
#[derive(Debug, thiserror::Error)]
pub enum RosterDraftError {
    /// The list.
    #[error(transparent)]
    Members(#[from] MembersError),
    /// The members make no roster.
    #[error(transparent)]
    Roster(#[from] RosterError),
    /// Nothing to sign or to publish.
    #[error("no roster is drafted; `coordinator roster draft` makes one of all members")]
    NoDraft,
    /// It is another one by now.
    #[error("the draft was changed meanwhile: look at it again and sign that one")]
    Changed,
    /// Not the hospital's.
    #[error("hospital {hospital} is not on this roster, or the signature is not its own")]
    Signature {
        /// Whose it should be.
        hospital: HospitalId,
    },
    /// It cannot be published yet.
    #[error(
        "the roster is not signed by all that have to: {0}; at each of them: participant roster sign"
    )]
    Unsigned(Unsigned),
}
