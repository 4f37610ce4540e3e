//! The canonical form of messages (PROTOCOL.md 3.1): fixed-width little-endian fields in the order of declaration, lists behind a
//! `u32` count, nothing left over.
//!
//! The only place that names the serialisation library. Every length is checked against [`MAX_MESSAGE_BYTES`] before anything is
//! allocated for it, so any byte string decodes to a value or to an error.

use bincode::{
    config::{Configuration, Fixint, Limit, LittleEndian},
    de::read::{BorrowReader, Reader},
    enc::{
        EncoderImpl,
        write::{SizeWriter, Writer},
    },
};
use crypto::{hash::SecretKey32, sealed_sum::HospitalId};
use zeroize::Zeroizing;

pub use bincode::{
    BorrowDecode, Decode, Encode,
    de::{BorrowDecoder, Decoder},
    enc::Encoder,
    error::{DecodeError, EncodeError},
};

/// Upper limit of any decoded message: the outcome of a round of eight million values at 127 hospitals fits, an absurd length does
/// not.
pub const MAX_MESSAGE_BYTES: usize = 64 << 20;

/// Version of the envelope around every control frame, and of every header. Since 2, a field that is one of a few words is one byte;
/// since 3, the manifest has more fields; docs/PROTOCOL.md, "History", has all.
pub const WIRE_VERSION: u8 = 6;

/// The values as little-endian words: a model's, millions of them.
pub fn little_endian(values: &[f32]) -> Vec<u8> {
    let mut bytes = vec![0; size_of_val(values)];
    write_little_endian(values, &mut bytes);
    bytes
}

/// The same into `bytes`. Array by array, which the compiler turns into a copy where words are such already.
///
/// # Panics
/// If `bytes` has not four bytes for each value.
pub fn write_little_endian(values: &[f32], bytes: &mut [u8]) {
    assert_eq!(
        bytes.len(),
        size_of_val(values),
        "four bytes for each value"
    );
    for (word, value) in bytes.as_chunks_mut().0.iter_mut().zip(values) {
        *word = value.to_le_bytes();
    }
}

/// Bytes that are not a message.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum CodecError {
    /// The bytes are not of this form, or a length in them exceeds the limit.
    #[error("malformed {message}: {reason}")]
    Malformed {
        /// The Rust name of the message that was expected.
        message: &'static str,
        /// What the decoder met.
        reason: String,
    },
    /// A valid message is followed by more bytes.
    #[error("{extra} bytes are left over behind {message}")]
    LeftOver {
        /// The Rust name of the message.
        message: &'static str,
        /// How many bytes follow.
        extra: usize,
    },
    /// The frame speaks another version of the protocol.
    #[error(
        "wire version {found} where {WIRE_VERSION} is spoken: the two sides run different releases of myelin"
    )]
    Version {
        /// The version byte of the frame.
        found: u8,
    },
}

/// The canonical bytes of `message`.
pub fn encode<T: Encode>(message: &T) -> Vec<u8> {
    bincode::encode_to_vec(message, configuration())
        .expect("writing to memory does not fail, and no message has a list of 2^32 entries")
}

/// The canonical bytes of something secret, erased when dropped. The buffer is made once in its full length: growing would leave copies
/// behind.
pub fn encode_secret<T: Encode>(secret: &T) -> Zeroizing<Vec<u8>> {
    let mut counter = EncoderImpl::new(SizeWriter::default(), configuration());
    secret.encode(&mut counter).expect("counting does not fail");
    let mut bytes = Zeroizing::new(vec![0; counter.into_writer().bytes_written]);
    bincode::encode_into_slice(secret, &mut bytes, configuration())
        .expect("the buffer has the length that was counted");
    bytes
}

/// Reads one `T` that fills `bytes` to the last byte.
///
/// # Errors
/// [`CodecError`] when the bytes are anything else.
pub fn decode<T: Decode<()>>(bytes: &[u8]) -> Result<T, CodecError> {
    let message = std::any::type_name::<T>();
    let read = bincode::decode_from_slice(bytes, configuration());
    whole(message, bytes, read)
}

/// What was read, if it fills `bytes`.
fn whole<T>(
    message: &'static str,
    bytes: &[u8],
    read: Result<(T, usize), DecodeError>,
) -> Result<T, CodecError> {
    let (value, read) = read.map_err(|error| CodecError::Malformed {
        message,
        reason: error.to_string(),
    })?;
    match bytes.len() - read {
        0 => Ok(value),
        extra => Err(CodecError::LeftOver { message, extra }),
    }
}

/// As [`decode`], of a message that borrows from `bytes` what is long in it.
///
/// # Errors
/// As [`decode`].
pub fn decode_borrowed<'a, T: BorrowDecode<'a, ()>>(bytes: &'a [u8]) -> Result<T, CodecError> {
    let message = std::any::type_name::<T>();
    // For people the lifetime is noise.
    let message = message.strip_suffix("<'_>").unwrap_or(message);
    let read = bincode::borrow_decode_from_slice(bytes, configuration());
    whole(message, bytes, read)
}

/// A control frame: the version byte, then the message.
pub fn encode_frame<T: Encode>(message: &T) -> Vec<u8> {
    let mut frame = vec![WIRE_VERSION];
    frame.extend(encode(message));
    frame
}

/// Reads a control frame.
///
/// # Errors
/// [`CodecError::Version`] before anything else is looked at, otherwise as [`decode`].
pub fn decode_frame<T: Decode<()>>(frame: &[u8]) -> Result<T, CodecError> {
    match frame.split_first() {
        Some((&WIRE_VERSION, message)) => decode(message),
        Some((&found, _)) => Err(CodecError::Version { found }),
        None => Err(CodecError::Malformed {
            message: std::any::type_name::<T>(),
            reason: "the frame is empty".into(),
        }),
    }
}

/// What the derived decoders ask of every field: here nothing is borrowed, decoding is always into owned values.
macro_rules! decode_owned {
    ($type:ty $(, $parameter:ident)?) => {
        impl<'de, Context $(, $parameter: Decode<Context>)?> BorrowDecode<'de, Context> for $type {
            fn borrow_decode<D: BorrowDecoder<'de, Context = Context>>(decoder: &mut D) -> Result<Self, DecodeError> {
                Self::decode(decoder)
            }
        }
    };
}

/// Encodes an enum without fields as one byte, a stated one for each variant, and refuses all others. A variant that is left out
/// does not compile.
macro_rules! one_byte {
    ($type:ident { $($variant:ident = $byte:literal),* $(,)? }) => {
        impl $crate::codec::Encode for $type {
            fn encode<E: $crate::codec::Encoder>(
                &self,
                encoder: &mut E,
            ) -> Result<(), $crate::codec::EncodeError> {
                let byte: u8 = match self {
                    $(Self::$variant => $byte),*
                };
                $crate::codec::Encode::encode(&byte, encoder)
            }
        }

        impl<Context> $crate::codec::Decode<Context> for $type {
            fn decode<D: $crate::codec::Decoder<Context = Context>>(
                decoder: &mut D,
            ) -> Result<Self, $crate::codec::DecodeError> {
                match <u8 as $crate::codec::Decode<Context>>::decode(decoder)? {
                    $($byte => Ok(Self::$variant),)*
                    _ => Err($crate::codec::DecodeError::Other(concat!(
                        "no ",
                        stringify!($type),
                        " has this byte"
                    ))),
                }
            }
        }

        impl<'de, Context> $crate::codec::BorrowDecode<'de, Context> for $type {
            fn borrow_decode<D: $crate::codec::BorrowDecoder<'de, Context = Context>>(
                decoder: &mut D,
            ) -> Result<Self, $crate::codec::DecodeError> {
                $crate::codec::Decode::decode(decoder)
            }
        }
    };
}
pub(crate) use one_byte;

decode_owned!(List<T>, T);
decode_owned!(Bytes);
decode_owned!(Text);
decode_owned!(Id);
decode_owned!(Secret);

/// A list behind a `u32` count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct List<T>(pub Vec<T>);

impl<T> Default for List<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> FromIterator<T> for List<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        Self(items.into_iter().collect())
    }
}

impl<T> std::ops::Deref for List<T> {
    type Target = Vec<T>;
    fn deref(&self) -> &Vec<T> {
        &self.0
    }
}

impl<T: Encode> Encode for List<T> {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        count(self.0.len())?.encode(encoder)?;
        self.0.iter().try_for_each(|item| item.encode(encoder))
    }
}

impl<Context, T: Decode<Context>> Decode<Context> for List<T> {
    fn decode<D: Decoder<Context = Context>>(decoder: &mut D) -> Result<Self, DecodeError> {
        let length = u32::decode(decoder)? as usize;
        decoder.claim_container_read::<T>(length)?;
        // Grown as items arrive: a count alone never reserves memory.
        let mut items = Vec::new();
        for _ in 0..length {
            decoder.unclaim_bytes_read(size_of::<T>());
            items.push(T::decode(decoder)?);
        }
        Ok(Self(items))
    }
}

/// Raw bytes behind a `u32` count: what another layer has serialised, passed on without a look inside.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Bytes(pub Vec<u8>);

impl std::fmt::Debug for Bytes {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} bytes", self.0.len())
    }
}

impl Encode for Bytes {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        count(self.0.len())?.encode(encoder)?;
        encoder.writer().write(&self.0)
    }
}

impl<Context> Decode<Context> for Bytes {
    fn decode<D: Decoder<Context = Context>>(decoder: &mut D) -> Result<Self, DecodeError> {
        let length = u32::decode(decoder)? as usize;
        decoder.claim_bytes_read(length)?;
        // A short input is refused before the buffer is made; readers that cannot tell leave it to `read`.
        if decoder.reader().peek_read(length).is_none() && length > 0 {
            return Err(DecodeError::UnexpectedEnd { additional: length });
        }
        let mut bytes = vec![0; length];
        decoder.reader().read(&mut bytes)?;
        Ok(Self(bytes))
    }
}

/// [`Bytes`] that stay where they are read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct BorrowedBytes<'a>(pub &'a [u8]);

impl std::fmt::Debug for BorrowedBytes<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} bytes", self.0.len())
    }
}

impl<'de, Context> BorrowDecode<'de, Context> for BorrowedBytes<'de> {
    fn borrow_decode<D: BorrowDecoder<'de, Context = Context>>(
        decoder: &mut D,
    ) -> Result<Self, DecodeError> {
        let length = u32::decode(decoder)? as usize;
        decoder.claim_bytes_read(length)?;
        decoder.borrow_reader().take_bytes(length).map(Self)
    }
}

/// A key among what a party keeps for itself, as its 32 bytes. No message has one. For [`encode_secret`].
pub struct Secret(pub SecretKey32);

impl Encode for Secret {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        encoder.writer().write(self.0.as_bytes())
    }
}

impl<Context> Decode<Context> for Secret {
    fn decode<D: Decoder<Context = Context>>(decoder: &mut D) -> Result<Self, DecodeError> {
        decoder.claim_bytes_read(32)?;
        let mut bytes = Zeroizing::new([0; 32]);
        decoder.reader().read(bytes.as_mut_slice())?;
        Ok(Self(SecretKey32::from_bytes(*bytes)))
    }
}

/// Text as UTF-8 behind a `u32` count.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Text(pub String);

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl Encode for Text {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        count(self.0.len())?.encode(encoder)?;
        encoder.writer().write(self.0.as_bytes())
    }
}

impl<Context> Decode<Context> for Text {
    fn decode<D: Decoder<Context = Context>>(decoder: &mut D) -> Result<Self, DecodeError> {
        let Bytes(bytes) = Bytes::decode(decoder)?;
        String::from_utf8(bytes)
            .map(Self)
            .map_err(|_| DecodeError::Other("text is not UTF-8"))
    }
}

/// A hospital's number on the wire: one byte in 1..=127. Zero would be the secret's own share point and is refused here, wherever an
/// id is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Id(pub HospitalId);

impl From<HospitalId> for Id {
    fn from(hospital: HospitalId) -> Self {
        Self(hospital)
    }
}

impl Encode for Id {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        self.0.get().encode(encoder)
    }
}

impl<Context> Decode<Context> for Id {
    fn decode<D: Decoder<Context = Context>>(decoder: &mut D) -> Result<Self, DecodeError> {
        HospitalId::new(u8::decode(decoder)?)
            .map(Self)
            .ok_or(DecodeError::Other("a hospital's number is in 1..=127"))
    }
}

fn count(length: usize) -> Result<u32, EncodeError> {
    u32::try_from(length).map_err(|_| EncodeError::Other("a list longer than 2^32"))
}

const fn configuration() -> Configuration<LittleEndian, Fixint, Limit<MAX_MESSAGE_BYTES>> {
    bincode::config::standard()
        .with_little_endian()
        .with_fixed_int_encoding()
        .with_limit()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Debug, PartialEq, Encode, Decode)]
    struct Sample {
        number: u32,
        digest: [u8; 4],
        list: List<u16>,
        raw: Bytes,
        text: Text,
        id: Id,
    }

    fn sample() -> Sample {
        Sample {
            number: 0x0403_0201,
            digest: [9, 8, 7, 6],
            list: List(vec![1, 0x0202]),
            raw: Bytes(vec![0xff]),
            text: "ab".into(),
            id: Id(HospitalId::new(127).expect("in range")),
        }
    }

    #[test]
    fn the_canonical_form_is_fixed_width_little_endian() {
        let bytes = [
            1, 2, 3, 4, // number
            9, 8, 7, 6, // digest, no length
            2, 0, 0, 0, 1, 0, 2, 2, // list: count, two u16
            1, 0, 0, 0, 0xff, // raw
            2, 0, 0, 0, b'a', b'b', // text
            127,  // id
        ];
        assert_eq!(encode(&sample()), bytes);
        assert_eq!(decode::<Sample>(&bytes), Ok(sample()));
    }

    #[test]
    fn left_over_bytes_short_bytes_and_id_zero_are_refused() {
        let mut bytes = encode(&sample());
        bytes.push(0);
        assert!(matches!(
            decode::<Sample>(&bytes),
            Err(CodecError::LeftOver { extra: 1, .. })
        ));
        bytes.truncate(bytes.len() - 2);
        assert!(matches!(
            decode::<Sample>(&bytes),
            Err(CodecError::Malformed { .. })
        ));
        assert!(decode::<Id>(&[0]).is_err());
        assert!(decode::<Id>(&[128]).is_err());
    }

    #[test]
    fn an_absurd_count_is_refused_before_allocation() {
        assert!(decode::<List<u64>>(&u32::MAX.to_le_bytes()).is_err());
        assert!(decode::<Bytes>(&u32::MAX.to_le_bytes()).is_err());
        assert!(decode::<Bytes>(&((MAX_MESSAGE_BYTES as u32) - 4).to_le_bytes()).is_err());
    }

    #[test]
    fn another_version_is_named() {
        assert_eq!(
            decode_frame::<u32>(&[7, 0, 0, 0, 0]),
            Err(CodecError::Version { found: 7 })
        );
        assert_eq!(decode_frame::<u32>(&encode_frame(&5_u32)), Ok(5));
    }

    proptest! {
        #[test]
        fn any_bytes_give_a_value_that_reencodes_alike_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(value) = decode::<Sample>(&bytes) {
                prop_assert_eq!(encode(&value), bytes);
            }
        }
    }
}
