//! Little-endian fields, read one after another and written one after another.

use zeroize::Zeroizing;

use super::SealError;

/// Takes the members of an object apart.
pub(super) struct Reader<'a> {
    /// The object, for messages.
    what: &'static str,
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(what: &'static str, bytes: &'a [u8]) -> Self {
        Self { what, rest: bytes }
    }

    pub(super) fn what(&self) -> &'static str {
        self.what
    }

    /// How many bytes are left.
    pub(super) fn left(&self) -> usize {
        self.rest.len()
    }

    /// The next bytes. The length may come from a stranger: nothing is made room for.
    pub(super) fn bytes(&mut self, length: u64) -> Result<&'a [u8], SealError> {
        let fits = usize::try_from(length)
            .ok()
            .and_then(|length| self.rest.split_at_checked(length));
        let (bytes, rest) = fits.ok_or(SealError::Short {
            what: self.what,
            needed: length.saturating_sub(self.rest.len() as u64),
        })?;
        self.rest = rest;
        Ok(bytes)
    }

    pub(super) fn array<const LENGTH: usize>(&mut self) -> Result<[u8; LENGTH], SealError> {
        let (array, rest) = self.rest.split_first_chunk().ok_or(SealError::Short {
            what: self.what,
            needed: (LENGTH - self.rest.len().min(LENGTH)) as u64,
        })?;
        self.rest = rest;
        Ok(*array)
    }

    pub(super) fn byte(&mut self) -> Result<u8, SealError> {
        self.array().map(|[byte]| byte)
    }

    pub(super) fn word(&mut self) -> Result<u64, SealError> {
        self.array().map(u64::from_le_bytes)
    }

    pub(super) fn real(&mut self) -> Result<f64, SealError> {
        self.array().map(f64::from_le_bytes)
    }

    /// A word that can have one value only.
    pub(super) fn expect_word(&mut self, expected: u64) -> Result<(), SealError> {
        let found = self.word()?;
        if found == expected {
            Ok(())
        } else {
            Err(self.length(expected, found))
        }
    }

    /// That nothing is left.
    pub(super) fn finish(self) -> Result<(), SealError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(self.length(0, self.rest.len() as u64))
        }
    }

    fn length(&self, expected: u64, found: u64) -> SealError {
        SealError::Length {
            what: self.what,
            expected,
            found,
        }
    }
}

/// Puts the members of objects together. What is written may be secret: all the room is taken at once, as a vector that
/// grows leaves copies behind, and it is erased when dropped.
pub(super) struct Writer(Zeroizing<Vec<u8>>);

impl Writer {
    /// For so many bytes, neither more nor fewer.
    pub(super) fn new(length: usize) -> Self {
        Self(Zeroizing::new(Vec::with_capacity(length)))
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        assert!(
            bytes.len() <= self.0.capacity() - self.0.len(),
            "the length was stated"
        );
        self.0.extend_from_slice(bytes);
        self
    }

    pub(super) fn byte(&mut self, byte: u8) -> &mut Self {
        self.bytes(&[byte])
    }

    pub(super) fn word(&mut self, word: u64) -> &mut Self {
        self.bytes(&word.to_le_bytes())
    }

    pub(super) fn real(&mut self, real: f64) -> &mut Self {
        self.bytes(&real.to_le_bytes())
    }

    /// Where the next byte will lie.
    pub(super) fn position(&self) -> usize {
        self.0.len()
    }

    /// Replaces a word that was written before its value was known.
    pub(super) fn patch_word(&mut self, position: usize, word: u64) {
        self.0[position..][..8].copy_from_slice(&word.to_le_bytes());
    }

    pub(super) fn finish(self) -> Zeroizing<Vec<u8>> {
        self.0
    }

    /// The bytes of what holds no secret.
    pub(super) fn finish_public(mut self) -> Vec<u8> {
        std::mem::take(&mut *self.0)
    }
}
