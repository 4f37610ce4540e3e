//! Hashes and numbers that name things, each a type of its own: a header's hash where a model's belongs, or a sum's number where a
//! learning round's belongs, does not compile.
//!
//! On the wire each is its bytes, as a plain array or number would be.
//!
//! ```compile_fail
//! use protocol::digests::{HeaderHash, ModelHash};
//! let model: ModelHash = HeaderHash::from_bytes([1; 32]);
//! ```

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::codec::{Decode, Encode};

/// Types around an array of bytes. `Debug` and `Display` show the first eight hexadecimal digits, enough to tell two apart in a log;
/// [`hex::encode`] and serde give all of them.
macro_rules! byte_names {
    ($($(#[$doc:meta])* $name:ident: $length:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode, Serialize, Deserialize)]
        pub struct $name(#[serde(with = "hex::serde")] [u8; $length]);

        impl $name {
            /// Takes the bytes for what they are said to be.
            pub const fn from_bytes(bytes: [u8; $length]) -> Self {
                Self(bytes)
            }

            /// The bytes, as they travel and are hashed.
            pub const fn as_bytes(&self) -> &[u8; $length] {
                &self.0
            }
        }

        impl From<[u8; $length]> for $name {
            fn from(bytes: [u8; $length]) -> Self {
                Self(bytes)
            }
        }

        impl From<$name> for [u8; $length] {
            fn from(name: $name) -> Self {
                name.0
            }
        }

        impl AsRef<[u8]> for $name {
            fn as_ref(&self) -> &[u8] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&hex::encode(&self.0[..4]))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(formatter, "{}({self})", stringify!($name))
            }
        }
    )*};
}

byte_names! {
    /// Number of a session, drawn by the coordinator.
    SessionId: 16;
    /// H of the roster's canonical form.
    RosterHash: 32;
    /// `run`: H of the run's manifest.
    RunId: 32;
    /// H of a Join.
    JoinDigest: 32;
    /// H of an Encapsulation.
    EncapsulationDigest: 32;
    /// H of the sorted Joins of a session: who holds shares of its sums.
    JoinedSet: 32;
    /// `gid`: H of the group key.
    GroupKeyId: 32;
    /// `model_hash`: the state that all vaults hold alike.
    ModelHash: 32;
    /// H of a model's values, of nothing that depends on a run.
    WeightsHash: 32;
    /// `layout_hash`: names and shapes of a sum's tensors, names of its counters.
    LayoutHash: 32;
    /// `T_r`: the hash chain over the opened sums of a run.
    Transcript: 32;
    /// Shows that two vaults have the same common state, without showing it.
    StateCommit: 32;
    /// `hh`: H of a round's header.
    HeaderHash: 32;
    /// `D_i`: H of a contribution's manifest.
    ContributionDigest: 32;
    /// Root over chunks, of one contribution or of a sum.
    ChunksRoot: 32;
    /// Root over the share boxes of a contribution.
    BoxesRoot: 32;
    /// `commit`: shows that two contributors used the same model, round and clips, without showing the clips.
    ClipCommit: 32;
    /// `uh`: H of the contributors whose sum is opened.
    ContributorsHash: 32;
    /// Under which an outcome is served, or a common state.
    OutcomeName: 32;
    /// Shows that two vaults opened the same counters, without showing them.
    ResultCommit: 32;
    /// H of one block of encrypted features.
    FeaturesDigest: 32;
    /// H of a filter request.
    FilterRequestDigest: 32;
}

impl Transcript {
    /// What a vault says it has reached before it knows the Joins, and so `T_0`.
    pub const BEFORE_JOINS: Self = Self([0; 32]);
}

impl ChunksRoot {
    /// In the place of a sum that did not open.
    pub const NONE: Self = Self([0; 32]);
}

impl ClipCommit {
    /// In a sum without real values, which no clip bounds.
    pub const NONE: Self = Self([0; 32]);
}

/// Types around a `u32` that counts.
macro_rules! numbers {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(u32);

        impl $name {
            /// The number as such.
            pub const fn new(number: u32) -> Self {
                Self(number)
            }

            /// The number as such.
            pub const fn get(self) -> u32 {
                self.0
            }

            /// The one after this.
            ///
            /// Nobody gets to the last one, 2^32 - 1: a round takes longer than a second.
            pub const fn next(self) -> Self {
                Self(self.0 + 1)
            }
        }

        impl From<u32> for $name {
            fn from(number: u32) -> Self {
                Self(number)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(formatter)
            }
        }
    )*};
}

numbers! {
    /// Number of a sum within its run, whatever its purpose and session. The first is 1; 0 stands before it.
    RoundNumber;
    /// Number of a learning step within its run: an update and an evaluation each. 0 is the initial model, before the first update.
    LearningRound;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{decode, encode};

    #[test]
    fn names_and_numbers_travel_as_their_bytes() {
        let header = HeaderHash::from_bytes(std::array::from_fn(|place| place as u8));
        assert_eq!(encode(&header), header.as_bytes());
        assert_eq!(decode(&encode(&header)), Ok(header));
        let session = SessionId::from_bytes([7; 16]);
        assert_eq!(encode(&session), [7; 16]);
        assert_eq!(encode(&RoundNumber::new(0x0403_0201)), [1, 2, 3, 4]);
        assert_eq!(decode(&[1, 2, 3, 4]), Ok(LearningRound::new(0x0403_0201)));
    }

    #[test]
    fn people_see_a_few_digits_and_files_all_of_them() {
        let model = ModelHash::from_bytes([0xab; 32]);
        assert_eq!(model.to_string(), "abababab");
        assert_eq!(format!("{model:?}"), "ModelHash(abababab)");
        assert_eq!(hex::encode(model), "ab".repeat(32));
        let json = serde_json::to_string(&model).expect("text");
        assert_eq!(json, format!("\"{}\"", "ab".repeat(32)));
        assert_eq!(
            serde_json::from_str::<ModelHash>(&json).expect("the same"),
            model
        );
        assert_eq!(
            serde_json::to_string(&RoundNumber::new(7)).expect("text"),
            "7"
        );
        assert_eq!(RoundNumber::new(7).next().to_string(), "8");
    }
}
