//! How a hospital comes into a federation: the operator's invitation, and what the two programs say to each other before the hospital
//! is on the roster (PROTOCOL.md 3.2, Enrolment).
//!
//! ```text
//! operator    coordinator invite NAME      -- token, by mail or telephone -->  hospital
//! hospital    Join: its public keys, and the one-time code of the token  -->  coordinator
//! hospital    reads the fingerprint of its keys out over the phone        -->  operator    coordinator approve NAME
//! hospital    Ask: its certificate, the roster to sign, a new certificate <->  coordinator
//! ```
//!
//! No secret but the one-time code ever leaves a party, and that one proves no more than that somebody was invited.

use crypto::{hash::Digest, hash::labelled_hash};
use zeroize::Zeroizing;

use crate::{
    codec::{self, Bytes, Decode, Encode, Id, List, Text},
    digests::RosterHash,
    identity::{Message, PublicKey, Signed},
};

/// What the operator gives to a hospital, as one line of text.
///
/// Neither printable nor clonable: whoever has it can ask to be let in under the invited name.
pub struct Invitation {
    /// Where the coordinator is: `host:port`.
    pub address: String,
    /// SHA-256 of the public key info of the federation's authority: who answers there is known by it.
    pub authority: Digest,
    /// The name that the hospital will have.
    pub name: String,
    /// Seconds since 1970, UTC; not accepted later.
    pub expires: u64,
    /// Accepted once.
    pub code: Code,
}

/// A one-time code.
pub struct Code(Zeroizing<[u8; CODE_BYTES]>);

impl Code {
    /// The code whose bytes these are: random ones.
    pub fn from_bytes(bytes: [u8; CODE_BYTES]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The same code, for another request.
    pub fn copy(&self) -> Self {
        Self(Zeroizing::new(*self.0))
    }

    /// What the coordinator keeps of it: enough to know it again, too little to use it.
    pub fn hash(&self) -> Digest {
        labelled_hash("invitation-code", &[self.0.as_slice()])
    }
}

impl Encode for Code {
    fn encode<E: codec::Encoder>(&self, encoder: &mut E) -> Result<(), codec::EncodeError> {
        self.0.encode(encoder)
    }
}

impl<Context> Decode<Context> for Code {
    fn decode<D: codec::Decoder<Context = Context>>(
        decoder: &mut D,
    ) -> Result<Self, codec::DecodeError> {
        Ok(Self::from_bytes(Decode::decode(decoder)?))
    }
}

impl<'de, Context> codec::BorrowDecode<'de, Context> for Code {
    fn borrow_decode<D: codec::BorrowDecoder<'de, Context = Context>>(
        decoder: &mut D,
    ) -> Result<Self, codec::DecodeError> {
        Decode::decode(decoder)
    }
}

/// The token's content.
#[derive(Encode, Decode)]
struct TokenBody {
    address: Text,
    authority: Digest,
    name: Text,
    expires: u64,
    code: Code,
}

impl Invitation {
    /// The line of text.
    pub fn to_token(&self) -> Zeroizing<String> {
        let body = codec::encode_secret(&TokenBody {
            address: Text(self.address.clone()),
            authority: self.authority,
            name: Text(self.name.clone()),
            expires: self.expires,
            code: self.code.copy(),
        });
        let mut text = Zeroizing::new(String::with_capacity(
            TOKEN_PREFIX.len() + 2 * (body.len() + CHECK_BYTES),
        ));
        text.push_str(TOKEN_PREFIX);
        text.push_str(&Zeroizing::new(hex::encode(body.as_slice())));
        text.push_str(&hex::encode(check_of(&body)));
        text
    }

    /// Reads the line; white space around and within it, as mail programs put there, is no harm.
    ///
    /// # Errors
    /// [`TokenError`].
    pub fn from_token(text: &str) -> Result<Self, TokenError> {
        if text.len() > MAX_TOKEN_CHARACTERS {
            return Err(TokenError::Form);
        }
        let mut digits = Zeroizing::new(String::with_capacity(text.len()));
        digits.extend(text.chars().filter(|letter| !letter.is_whitespace()));
        let digits = digits.strip_prefix(TOKEN_PREFIX).ok_or(TokenError::Form)?;
        let bytes = Zeroizing::new(hex::decode(digits).map_err(|_| TokenError::Damaged)?);
        let (body, check) = bytes
            .len()
            .checked_sub(CHECK_BYTES)
            .and_then(|length| bytes.split_at_checked(length))
            .ok_or(TokenError::Damaged)?;
        if check != check_of(body) {
            return Err(TokenError::Damaged);
        }
        let body: TokenBody = codec::decode(body).map_err(|_| TokenError::Damaged)?;
        Ok(Self {
            address: body.address.0,
            authority: body.authority,
            name: body.name.0,
            expires: body.expires,
            code: body.code,
        })
    }
}

fn check_of(body: &[u8]) -> [u8; CHECK_BYTES] {
    let hash = labelled_hash("invitation-check", &[body]);
    *hash.first_chunk().expect("a hash is longer")
}

/// A text that is no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Something else.
    #[error(
        "this is not an invitation: one begins with {TOKEN_PREFIX:?}; copy the whole line that the coordinator's operator has sent"
    )]
    Form,
    /// Cut or altered on its way.
    #[error(
        "this invitation is damaged; copy the whole line that the coordinator's operator has sent, or ask for another one"
    )]
    Damaged,
}

/// What a hospital asks, one request on each connection.
#[derive(Encode, Decode)]
pub enum EnrolmentRequest {
    /// Of one that has been invited.
    Join(Signed<JoinRequest>),
    /// Of one that has asked to join before, or is a member.
    Ask(Signed<MemberRequest>),
}

/// Asks to be let in. Signed with the key in it.
#[derive(Encode, Decode)]
pub struct JoinRequest {
    /// Of the federation it is meant for.
    pub authority: Digest,
    /// From the invitation.
    pub code: Code,
    /// The hospital's key, for what it will sign as a member.
    pub signing_key: PublicKey,
    /// PKCS #10, in DER, for its TLS key.
    pub certificate_request: Bytes,
}

impl Message for JoinRequest {
    const TYPE: &'static str = "enrolment-join";
    type Digest = Digest;
}

/// What a member, or one that has asked to join, wants. Signed with its key.
#[derive(Encode, Decode)]
pub struct MemberRequest {
    /// Of the federation it is meant for.
    pub authority: Digest,
    /// Who asks.
    pub signing_key: PublicKey,
    /// What it asks.
    pub ask: Ask,
}

impl Message for MemberRequest {
    const TYPE: &'static str = "enrolment-ask";
    type Digest = Digest;
}

/// The questions.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Ask {
    /// Its certificate, once the operator has approved it.
    Certificate,
    /// The roster that is to be signed, or the one that holds.
    Roster,
    /// The roster that holds.
    PublishedRoster,
    /// This is my signature of the draft with this hash.
    Sign {
        /// As the hospital has computed it from the draft.
        roster: RosterHash,
        /// Ed25519, as it stands in the roster file.
        signature: [u8; 64],
    },
    /// Another certificate for the same key.
    Renew {
        /// PKCS #10, in DER, for the TLS key on the roster.
        certificate_request: Bytes,
    },
}

/// The coordinator's answer.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum EnrolmentReply {
    /// Known, and the operator has not decided yet.
    Waiting,
    /// To [`EnrolmentRequest::Join`], [`Ask::Certificate`] and [`Ask::Renew`].
    Certificate {
        /// The hospital's number.
        hospital: Id,
        /// Its certificate, PEM.
        certificate: Text,
        /// That of the authority, PEM; the invitation has the fingerprint of its key.
        authority: Text,
    },
    /// To [`Ask::Roster`] and [`Ask::PublishedRoster`].
    Roster {
        /// The text of the roster file.
        file: Bytes,
        /// Whether all signatures that it needs are there.
        is_published: bool,
    },
    /// The same, where there is none.
    NoRoster,
    /// To [`Ask::Sign`]: the signature counts.
    Signed {
        /// Members that have to sign and have not.
        missing: List<Id>,
        /// How many members of the epoch before have to sign besides.
        missing_of_previous: u32,
    },
    /// It cannot be done.
    Refused {
        /// Why, and what to do, for people.
        reason: Text,
    },
}

/// H of a hospital's two public keys, in whose words ([`crate::spoken::spoken`]) the hospital and the operator compare them.
pub fn keys_hash(signing_key: &PublicKey, tls_fingerprint: &Digest) -> Digest {
    labelled_hash("member-keys", &[&signing_key.0, tls_fingerprint])
}

/// The same of the operator, who has one key alone.
pub fn operator_hash(operator_key: &PublicKey) -> Digest {
    labelled_hash("operator-key", &[&operator_key.0])
}

/// Longer requests are not read.
pub const MAX_REQUEST_BYTES: usize = 16 << 10;
/// Longer answers are not read: a roster file in a little of framing.
pub const MAX_REPLY_BYTES: usize = crate::roster::MAX_ROSTER_BYTES as usize + 1024;

const TOKEN_PREFIX: &str = "myelin1-";
const CODE_BYTES: usize = 16;
const CHECK_BYTES: usize = 4;
const MAX_TOKEN_CHARACTERS: usize = 4096;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::identity::SigningKey;

    fn invitation() -> Invitation {
        Invitation {
            address: "coordinator.example:7443".into(),
            authority: [3; 32],
            name: "St. Mary's, Århus".into(),
            expires: 1_800_000_000,
            code: Code::from_bytes([7; 16]),
        }
    }

    #[test]
    fn a_token_survives_a_mail() {
        let token = invitation().to_token();
        let (start, end) = token.split_at(50);
        let folded = format!("  {start}\r\n  {end}\n");
        let read = Invitation::from_token(&folded).expect("a token");
        assert_eq!(read.address, "coordinator.example:7443");
        assert_eq!((read.authority, read.expires), ([3; 32], 1_800_000_000));
        assert_eq!(read.name, "St. Mary's, Århus");
        assert_eq!(read.code.hash(), Code::from_bytes([7; 16]).hash());
    }

    #[test]
    fn a_damaged_token_is_told_from_another_text() {
        let token = invitation().to_token();
        let refusal = |text: &str| Invitation::from_token(text).err();
        assert_eq!(refusal("hello"), Some(TokenError::Form));
        assert_eq!(refusal(""), Some(TokenError::Form));
        assert_eq!(
            refusal(&token[..token.len() - 2]),
            Some(TokenError::Damaged)
        );
        assert_eq!(refusal("myelin1-"), Some(TokenError::Damaged));
        assert_eq!(refusal(&token.replace('7', "8")), Some(TokenError::Damaged));
        assert_eq!(refusal(&"myelin1-".repeat(1000)), Some(TokenError::Form));
    }

    proptest! {
        #[test]
        fn any_text_and_any_bytes_are_refused_or_read(text in ".{0,300}", bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Invitation::from_token(&text);
            let body = hex::encode(&bytes) + &hex::encode(check_of(&bytes));
            let _ = Invitation::from_token(&format!("{TOKEN_PREFIX}{body}"));
            let _ = codec::decode_frame::<EnrolmentRequest>(&bytes);
            let _ = codec::decode_frame::<EnrolmentReply>(&bytes);
        }
    }

    #[test]
    fn a_request_is_its_senders() {
        let key = SigningKey::from_secret_bytes(&[5; 32]);
        let request = EnrolmentRequest::Ask(Signed::sign(
            &MemberRequest {
                authority: [3; 32],
                signing_key: key.public(),
                ask: Ask::Roster,
            },
            &key,
        ));
        let frame = codec::encode_frame(&request);
        assert!(frame.len() < MAX_REQUEST_BYTES);
        let EnrolmentRequest::Ask(read) = codec::decode_frame(&frame).expect("a request") else {
            panic!("another request");
        };
        assert!(read.verify(&key.public(), "the hospital").is_ok());
        let other = SigningKey::from_secret_bytes(&[6; 32]);
        assert!(read.verify(&other.public(), "the hospital").is_err());
    }
}
