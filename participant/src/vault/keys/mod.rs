//! The secrets of a session: the pairs' keys from X25519 and ML-KEM-768, and the group key (PROTOCOL.md 3.2).
//!
//! ```text
//! OwnKeys --Joins of all--> KeyExchange --every Ready--> SessionKeys
//!   own.rs    members.rs      exchange.rs, pairs.rs, group.rs   session_keys.rs, ratchet.rs
//! ```
//!
//! What is kept of them on disk is in `records`.

mod confirmed;
mod exchange;
mod group;
mod members;
mod own;
mod pairs;
pub mod ratchet;
mod records;
mod session_keys;

pub(super) use self::{
    confirmed::Confirmed,
    exchange::{KeyExchange, Progress},
    own::OwnKeys,
    records::{KeyRecord, SetUpRecord},
    session_keys::SessionKeys,
};

#[cfg(test)]
mod tests {
    use crypto::{hash::SecretKey32, sealed_sum::HospitalId};
    use protocol::{
        digests::{RoundNumber, SessionId},
        identity::{Signed, SigningKey},
        roster::testing::{TestFederation, federation},
        session::SessionError,
    };
    use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

    use super::{exchange::Opening, *};

    const SESSION: SessionId = SessionId::from_bytes([9; 16]);

    fn own_keys(federation: &TestFederation) -> Vec<OwnKeys> {
        let mut rng = ChaCha20Rng::from_seed([1; 32]);
        let ids = (1..).map(|number| HospitalId::new(number).expect("in range"));
        ids.zip(&federation.hospital_keys)
            .map(|(id, key)| OwnKeys::generate(id, SESSION, &federation.roster, key, &mut rng))
            .collect()
    }

    /// Runs the set-up of three vaults; `alter` may change what the first sends.
    fn set_up(alter: impl Fn(&mut Opening)) -> Result<Vec<SessionKeys>, SessionError> {
        let federation = federation(3);
        let own = own_keys(&federation);
        let joins: Vec<_> = own.iter().map(|keys| keys.join().clone()).collect();
        let mut rng = ChaCha20Rng::from_seed([2; 32]);
        let mut vaults = Vec::new();
        let mut openings = Vec::new();
        for (own, key) in own.into_iter().zip(&federation.hospital_keys) {
            let (keys, opening) =
                KeyExchange::begin(own, &joins, &federation.roster, key, &mut rng)?;
            vaults.push(keys);
            openings.push(opening);
        }
        alter(&mut openings[0]);
        for opening in &openings {
            for message in &opening.encapsulations {
                let to = message.read_unverified().expect("ours").to.0;
                vaults[usize::from(to.get()) - 1].on_encapsulation(message, &federation.roster)?;
            }
        }
        let group_key = openings[0]
            .group_key
            .as_ref()
            .expect("the smallest number draws it");
        for vault in &mut vaults[1..] {
            vault.on_group_key(group_key, &federation.roster)?;
        }
        let readies: Vec<_> = vaults
            .iter()
            .zip(&federation.hospital_keys)
            .map(|(vault, key)| vault.ready(key).expect("all keys"))
            .collect();
        for vault in &mut vaults {
            for ready in &readies {
                vault.on_ready(ready, &federation.roster)?;
            }
        }
        let completed = vaults.into_iter().zip(&federation.hospital_keys);
        Ok(completed
            .map(|(vault, key)| match vault.progress(key) {
                Progress::Complete(keys) => keys,
                Progress::Incomplete(_) => panic!("all vaults have confirmed"),
            })
            .collect())
    }

    #[test]
    fn all_pairs_and_the_group_agree() {
        let mut vaults = set_up(|_| {}).expect("a good set-up");
        for vault in &mut vaults {
            vault.advance_to(RoundNumber::new(4));
        }
        for left in &vaults {
            for right in &vaults {
                assert_eq!(left.group_key().as_bytes(), right.group_key().as_bytes());
                let (ours, theirs) = (left.pair_key(right.own.id), right.pair_key(left.own.id));
                assert_eq!(
                    ours.map(SecretKey32::as_bytes),
                    theirs.map(SecretKey32::as_bytes)
                );
            }
        }
        assert_ne!(
            vaults[0]
                .pair_key(vaults[1].own.id)
                .map(SecretKey32::as_bytes),
            vaults[0]
                .pair_key(vaults[2].own.id)
                .map(SecretKey32::as_bytes)
        );
    }

    #[test]
    fn an_encapsulation_signed_by_another_is_refused() {
        let refused = set_up(|opening| {
            let body = opening.encapsulations[0].read_unverified().expect("ours");
            opening.encapsulations[0] =
                Signed::sign(&body, &SigningKey::from_secret_bytes(&[77; 32]));
        });
        assert!(matches!(refused, Err(SessionError::Malformed(_))));
    }

    #[test]
    fn a_group_key_that_is_not_the_announced_one_is_refused() {
        let federation = federation(3);
        let refused = set_up(|opening| {
            let mut body = opening
                .group_key
                .as_ref()
                .expect("drawn")
                .read_unverified()
                .expect("ours");
            body.gid = [9; 32].into();
            opening.group_key = Some(Signed::sign(&body, &federation.hospital_keys[0]));
        });
        assert_eq!(
            refused.err(),
            Some(SessionError::Disagreement {
                id: HospitalId::new(1).expect("in range"),
                what: "group key"
            })
        );
    }

    #[test]
    fn a_join_of_another_roster_or_a_missing_own_one_is_refused() {
        let three = federation(3);
        let four = federation(4);
        let mut own = own_keys(&three);
        let mut joins: Vec<_> = own.iter().map(|keys| keys.join().clone()).collect();
        let mut rng = ChaCha20Rng::from_seed([3; 32]);
        joins[2] = own_keys(&four)[2].join().clone();
        let key = &three.hospital_keys[0];
        let (first, second) = (own.remove(0), own.remove(0));
        let error = KeyExchange::begin(first, &joins, &three.roster, key, &mut rng)
            .err()
            .expect("refused");
        assert_eq!(
            error,
            SessionError::OtherRoster {
                id: HospitalId::new(3).expect("in range")
            }
        );
        // Too short a list, and one of the right length without our Join.
        let key = &three.hospital_keys[1];
        let error = KeyExchange::begin(second, &joins[1..2], &three.roster, key, &mut rng)
            .err()
            .expect("refused");
        assert!(matches!(error, SessionError::Malformed(_)));
        let mut own = own_keys(&three);
        let joins: Vec<_> = own[1..].iter().map(|keys| keys.join().clone()).collect();
        let key = &three.hospital_keys[0];
        let error = KeyExchange::begin(own.remove(0), &joins, &three.roster, key, &mut rng)
            .err()
            .expect("refused");
        assert_eq!(
            error,
            SessionError::Disagreement {
                id: HospitalId::new(1).expect("in range"),
                what: "Join of ours"
            }
        );
    }
}
