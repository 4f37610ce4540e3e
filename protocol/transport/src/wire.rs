//! The few bytes with which a stream introduces itself and is answered.
//!
//! ```text
//! opening, 41 bytes    kind u8 | name 32 bytes | number u64      written by the participant, first on every stream
//!   1 control            zeros  | 0                              frames both ways until the end
//!   2 upload             blob   | its length                     then, after the reply, its bytes
//!   3 download           blob   | bytes held already             the bytes after those come behind the reply
//! reply, 9 bytes       1 | number u64                            go ahead; or
//!                      0 | code u32 | length u32, then UTF-8     no, and why
//! ```
//!
//! All numbers are little-endian. The reply's number is 0 for control, the bytes the coordinator holds for an upload (and
//! the blob's length when it has taken all of it), and the blob's length for a download.

use super::errors::TransportError;
use super::printable::printable;
use super::refusal::{Refusal, RefusalCode};

/// A blob's name: a digest that the layer above chooses. The transport compares it with nothing.
pub type BlobName = [u8; 32];

/// Blobs move, and uploads resume, in pieces of this many bytes: one chunk of the sealed sum (PROTOCOL.md, section 3.5).
pub const LEAF_BYTES: usize = 32_768;

/// What a stream is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StreamOpening {
    /// The frames of the control channel.
    Control,
    /// A blob for the coordinator.
    Upload { name: BlobName, total_bytes: u64 },
    /// A blob for the participant, from `offset` on.
    Download { name: BlobName, offset: u64 },
}

impl StreamOpening {
    pub(super) const BYTES: usize = 41;

    pub(super) fn encode(&self) -> [u8; Self::BYTES] {
        let (kind, name, number) = match *self {
            Self::Control => (1, [0; 32], 0),
            Self::Upload { name, total_bytes } => (2, name, total_bytes),
            Self::Download { name, offset } => (3, name, offset),
        };
        let mut bytes = [0; Self::BYTES];
        bytes[0] = kind;
        bytes[1..33].copy_from_slice(&name);
        bytes[33..].copy_from_slice(&number.to_le_bytes());
        bytes
    }

    pub(super) fn decode(bytes: &[u8; Self::BYTES]) -> Result<Self, TransportError> {
        let [kind, rest @ ..] = bytes;
        let (name, number) = rest.split_first_chunk::<32>().expect("40 bytes remain");
        let number = u64::from_le_bytes(number.try_into().expect("8 bytes remain"));
        match *kind {
            1 if *name == [0; 32] && number == 0 => Ok(Self::Control),
            2 => Ok(Self::Upload {
                name: *name,
                total_bytes: number,
            }),
            3 => Ok(Self::Download {
                name: *name,
                offset: number,
            }),
            _ => Err(TransportError::Violation("a stream of unknown kind")),
        }
    }
}

/// A coordinator's answer to an opening, and its verdict on an upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// Yes, and a number.
    Go(u64),
    /// No, and why.
    Refused(Refusal),
}

/// The fixed part of a [`Reply`]; a refusal's text follows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReplyHead {
    Go(u64),
    Refused {
        code: RefusalCode,
        text_bytes: usize,
    },
}

impl Reply {
    pub(super) const HEAD_BYTES: usize = 9;

    pub(super) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Go(number) => [&[1][..], &number.to_le_bytes()].concat(),
            Self::Refused(Refusal { code, reason }) => {
                let text = printable(reason.as_bytes());
                let text = &text[..text.floor_char_boundary(MAX_REFUSAL_BYTES)];
                let length = u32::try_from(text.len()).expect("bounded above");
                [
                    &[0][..],
                    &code.to_wire().to_le_bytes(),
                    &length.to_le_bytes(),
                    text.as_bytes(),
                ]
                .concat()
            }
        }
    }

    pub(super) fn decode_head(bytes: &[u8; Self::HEAD_BYTES]) -> Result<ReplyHead, TransportError> {
        let [kind, number @ ..] = *bytes;
        let number = u64::from_le_bytes(number);
        if kind == 1 {
            return Ok(ReplyHead::Go(number));
        }
        let text_bytes = usize::try_from(number >> 32).unwrap_or(usize::MAX);
        if kind != 0 || text_bytes > MAX_REFUSAL_BYTES {
            return Err(TransportError::Violation("a malformed reply"));
        }
        let code = RefusalCode::from_wire((number & u64::from(u32::MAX)) as u32);
        Ok(ReplyHead::Refused { code, text_bytes })
    }
}

const MAX_REFUSAL_BYTES: usize = 1024;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn head(bytes: &[u8]) -> ReplyHead {
        let head = bytes.first_chunk().expect("a whole head");
        Reply::decode_head(head).expect("well formed")
    }

    #[test]
    fn the_bytes_are_these() {
        let upload = StreamOpening::Upload {
            name: [0xab; 32],
            total_bytes: 0x0102,
        };
        let mut expected = vec![2];
        expected.extend([0xab; 32]);
        expected.extend([2, 1, 0, 0, 0, 0, 0, 0]);
        assert_eq!(upload.encode().to_vec(), expected);
        assert_eq!(Reply::Go(5).encode(), [1, 5, 0, 0, 0, 0, 0, 0, 0]);
        let refusal = Reply::Refused(Refusal {
            code: RefusalCode::NotFound,
            reason: "no".into(),
        });
        assert_eq!(refusal.encode(), [0, 1, 0, 0, 0, 2, 0, 0, 0, b'n', b'o']);
    }

    #[test]
    fn a_long_reason_is_cut_at_a_character() {
        let reason = "ü".repeat(2000);
        let bytes = Reply::Refused(Refusal {
            code: RefusalCode::Invalid,
            reason,
        })
        .encode();
        let text = std::str::from_utf8(&bytes[Reply::HEAD_BYTES..]).expect("whole characters");
        assert!(text.len() <= MAX_REFUSAL_BYTES && text.chars().all(|c| c == 'ü'));
    }

    #[test]
    fn a_refusal_of_a_gigabyte_is_refused() {
        let mut bytes = [0; Reply::HEAD_BYTES];
        bytes[5..].copy_from_slice(&(1_u32 << 30).to_le_bytes());
        assert!(Reply::decode_head(&bytes).is_err());
    }

    proptest! {
        #[test]
        fn openings_round_trip(name in any::<BlobName>(), number in any::<u64>()) {
            for opening in [
                StreamOpening::Control,
                StreamOpening::Upload { name, total_bytes: number },
                StreamOpening::Download { name, offset: number },
            ] {
                prop_assert_eq!(StreamOpening::decode(&opening.encode()).expect("well formed"), opening);
            }
        }

        #[test]
        fn any_opening_is_read_whole_or_refused(bytes in prop::array::uniform32(any::<u8>()), kind in 0_u8..5, number in any::<u64>()) {
            let mut opening = [0; StreamOpening::BYTES];
            opening[0] = kind;
            opening[1..33].copy_from_slice(&bytes);
            opening[33..].copy_from_slice(&number.to_le_bytes());
            if let Ok(decoded) = StreamOpening::decode(&opening) {
                prop_assert_eq!(decoded.encode(), opening);
            }
        }

        #[test]
        fn replies_round_trip(number in any::<u64>(), code in any::<u16>(), reason in "[ -~]{0,300}") {
            prop_assert_eq!(head(&Reply::Go(number).encode()), ReplyHead::Go(number));
            let code = RefusalCode::Application(code);
            let bytes = Reply::Refused(Refusal { code, reason: reason.clone() }).encode();
            prop_assert_eq!(head(&bytes), ReplyHead::Refused { code, text_bytes: reason.len() });
            prop_assert_eq!(&bytes[Reply::HEAD_BYTES..], reason.as_bytes());
        }

        #[test]
        fn any_reply_head_is_read_or_refused(bytes in any::<[u8; Reply::HEAD_BYTES]>()) {
            if let Ok(ReplyHead::Refused { text_bytes, .. }) = Reply::decode_head(&bytes) {
                prop_assert!(text_bytes <= MAX_REFUSAL_BYTES);
            }
        }
    }
}
