//! A key that steps once per round number, so that the keys of past rounds are gone (PROTOCOL.md 3.2, "Ratchet").

use crypto::hash::{SecretKey32, derive_key};
use protocol::digests::RoundNumber;

/// Round number at which a session's keys start: the first round is 1.
pub(super) const KEYS_START_AT: RoundNumber = RoundNumber::new(0);

/// `K[r]`: the key of one round; earlier ones cannot be had from it.
pub struct Ratchet {
    key: SecretKey32,
    round: RoundNumber,
}

impl Ratchet {
    /// The key as it stands at round number `round`.
    pub fn new(key: SecretKey32, round: RoundNumber) -> Self {
        Self { key, round }
    }

    /// Steps through every number up to `round`: `K[r] = HKDF(K[r-1], 'r' || r)`. Never back.
    pub fn advance_to(&mut self, round: RoundNumber) {
        while self.round < round {
            self.round = self.round.next();
            let step = self.round.get().to_le_bytes();
            self.key = derive_key(self.key.as_bytes(), "r", &[&step]);
        }
    }

    /// The round that the key is of.
    pub fn round(&self) -> RoundNumber {
        self.round
    }

    /// The key.
    pub fn key(&self) -> &SecretKey32 {
        &self.key
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `protocol/vectors/make_hashes.py` has computed it from PROTOCOL.md.
    #[test]
    fn the_steps_are_those_of_the_specification() {
        let expected: serde_json::Value =
            serde_json::from_str(include_str!("../../../../protocol/vectors/hashes.json"))
                .expect("JSON");
        let mut ratchet = Ratchet::new(SecretKey32::from_bytes([0x22; 32]), KEYS_START_AT);
        for round in 0..4 {
            ratchet.advance_to(RoundNumber::new(round));
            let found = hex::encode(ratchet.key().as_bytes());
            assert_eq!(found, expected["ratchet"][round as usize], "K[{round}]");
        }
    }

    #[test]
    fn missed_rounds_are_stepped_through() {
        let start = || Ratchet::new(SecretKey32::from_bytes([1; 32]), RoundNumber::default());
        let (mut by_one, mut at_once) = (start(), start());
        for round in 1..=5 {
            by_one.advance_to(RoundNumber::new(round));
        }
        at_once.advance_to(RoundNumber::new(5));
        assert_eq!(by_one.key().as_bytes(), at_once.key().as_bytes());
        let five = *at_once.key().as_bytes();
        at_once.advance_to(RoundNumber::new(3));
        assert_eq!(at_once.key().as_bytes(), &five);
        at_once.advance_to(RoundNumber::new(6));
        assert_ne!(at_once.key().as_bytes(), &five);
    }
}
