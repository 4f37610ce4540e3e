//! A roster of test hospitals, with all the keys.

use crypto::sealed_sum::HospitalId;

use super::{MemberEntry, PeerKeys, Roster, RosterFile, SUITE};
use crate::identity::SigningKey;

/// The keys of a federation of `size` hospitals, the same at every call.
pub struct TestFederation {
    /// The checked roster.
    pub roster: Roster,
    /// Hospital 1's key first.
    pub hospital_keys: Vec<SigningKey>,
    /// The coordinator's key.
    pub coordinator_key: SigningKey,
    /// The operator's key.
    pub operator_key: SigningKey,
}

/// Makes a federation whose keys are the bytes of their numbers: for tests only.
pub fn federation(size: u8) -> TestFederation {
    let hospital_keys: Vec<_> = (1..=size)
        .map(|id| SigningKey::from_secret_bytes(&[id; 32]))
        .collect();
    let coordinator_key = SigningKey::from_secret_bytes(&[201; 32]);
    let operator_key = SigningKey::from_secret_bytes(&[202; 32]);
    let mut file = RosterFile {
        suite: SUITE,
        epoch: 1,
        hospitals: (1..=size).map(member_entry).collect(),
        coordinator: PeerKeys {
            signing_key: coordinator_key.public().0,
            tls_fingerprint: [201; 32],
        },
        operator_key: operator_key.public().0,
        signatures: Vec::new(),
        history: Vec::new(),
    };
    for (id, key) in (1..=size).zip(&hospital_keys) {
        file.sign(HospitalId::new(id).expect("in range"), key)
            .expect("ids are in range");
    }
    TestFederation {
        roster: file.check().expect("sound"),
        hospital_keys,
        coordinator_key,
        operator_key,
    }
}

/// Hospital `id` of a test federation in the file.
pub fn member_entry(id: u8) -> MemberEntry {
    MemberEntry {
        id,
        name: format!("hospital {id}"),
        signing_key: SigningKey::from_secret_bytes(&[id; 32]).public().0,
        tls_fingerprint: [id; 32],
    }
}

/// A first roster as a file, without signatures.
pub fn file_of(roster: &Roster) -> RosterFile {
    let entry = |member: &super::Member| MemberEntry {
        id: member.id.get(),
        name: member.name.clone(),
        signing_key: member.signing_key.0,
        tls_fingerprint: member.tls_fingerprint,
    };
    RosterFile {
        suite: SUITE,
        epoch: roster.epoch(),
        hospitals: roster.members().map(entry).collect(),
        coordinator: PeerKeys {
            signing_key: roster.coordinator_key().0,
            tls_fingerprint: roster.coordinator_tls_fingerprint(),
        },
        operator_key: roster.operator_key().0,
        signatures: Vec::new(),
        history: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::roster::RosterError;

    fn file() -> RosterFile {
        let federation = federation(3);
        let mut file = file_of(&federation.roster);
        for (id, key) in (1..).zip(&federation.hospital_keys) {
            file.sign(HospitalId::new(id).expect("in range"), key)
                .expect("in range");
        }
        file
    }

    #[test]
    fn a_signed_roster_survives_the_file_in_any_order() {
        let mut shuffled = RosterFile::from_json(&file().to_json()).expect("parses");
        shuffled.hospitals.reverse();
        assert_eq!(
            shuffled.check().expect("sound").hash(),
            file().check().expect("sound").hash()
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        let two = HospitalId::new(2).expect("in range");
        let mut same_id = file();
        same_id.hospitals[2].id = 2;
        assert_eq!(
            same_id.check().err(),
            Some(RosterError::DuplicateId { id: two })
        );
        let mut zero = file();
        zero.hospitals[0].id = 0;
        assert_eq!(
            zero.check().err(),
            Some(RosterError::IdOutOfRange { id: 0 })
        );
        let mut renamed = file();
        renamed.hospitals[1].name.push('!');
        assert!(matches!(
            renamed.check().err(),
            Some(RosterError::Unsigned { .. })
        ));
        let mut shared = file();
        shared.hospitals[1].tls_fingerprint = shared.hospitals[0].tls_fingerprint;
        assert_eq!(
            shared.check().err(),
            Some(RosterError::SharedKey { id: two })
        );
        let mut namesake = file();
        namesake.hospitals[1].name = namesake.hospitals[0].name.clone();
        assert!(matches!(
            namesake.check().err(),
            Some(RosterError::SharedName { .. })
        ));
        let mut weak = file();
        weak.operator_key = [0; 32];
        assert!(matches!(
            weak.check().err(),
            Some(RosterError::UnsoundKey { .. })
        ));
        assert!(RosterFile::from_json("{\"suite\":1,\"colour\":2}").is_err());
    }
}
