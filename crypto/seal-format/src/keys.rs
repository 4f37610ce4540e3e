//! Public keys and relinearisation keys.

use super::bytes::{Reader, Writer};
use super::ciphertext::CORRECTION_FACTOR_BYTES;
use super::header::{self, HEADER_BYTES, Object, Version};
use super::{SealContext, SealError};
use crypto::ckks::{KeyId, PublicKey, RelinearisationKey};
use crypto::hash::labelled_hash;

impl SealContext {
    /// Reads a public key, also one whose second polynomial is a seed. SEAL's keys have no names: `key` is the one that it is
    /// to have from now on.
    ///
    /// # Errors
    /// If the bytes are no public key of these parameters, or a word is not below its prime.
    pub fn read_public_key(&self, bytes: &[u8], key: KeyId) -> Result<PublicKey, SealError> {
        let object = Object::open(PUBLIC_KEY, bytes, self.most_pair_bytes())?;
        let mut members = object.members();
        let pair = self.read_pair(object.version(), &mut members)?;
        members.finish()?;
        Ok(PublicKey::from_evaluations(&self.context, key, pair)?)
    }

    /// Reads a public key and gives it a name made of the key itself: who reads the same key again, even from another file,
    /// gives it the same.
    ///
    /// # Errors
    /// As [`read_public_key`](Self::read_public_key).
    pub fn read_and_name_public_key(&self, bytes: &[u8]) -> Result<PublicKey, SealError> {
        let key = self.read_public_key(bytes, KeyId::from_bytes([0; 16]))?;
        let digest = labelled_hash("SEAL public key", &[&self.write_public_key(&key)?]);
        let name = KeyId::from_bytes(*digest.first_chunk().expect("16 bytes of 32"));
        Ok(key.with_key_id(name))
    }

    /// Writes a public key.
    ///
    /// # Errors
    /// If it has other parameters.
    pub fn write_public_key(&self, key: &PublicKey) -> Result<Vec<u8>, SealError> {
        self.context.check_same(key.context())?;
        let mut writer = Writer::new(self.pair_bytes());
        self.write_object(&mut writer, KEY_SCALE, &key.evaluations());
        Ok(writer.finish_public())
    }

    /// Reads a relinearisation key for products of two ciphertexts, `RelinKeys` in SEAL, under the name of its secret key.
    ///
    /// # Errors
    /// If the bytes are no such key of these parameters, or a word is not below its prime.
    pub fn read_relinearisation_key(
        &self,
        bytes: &[u8],
        key: KeyId,
    ) -> Result<RelinearisationKey, SealError> {
        let what = RELINEARISATION_KEY;
        let most = SET_BYTES + self.data_rows() * self.most_pair_bytes();
        let object = Object::open(what, bytes, most)?;
        let mut members = object.members();
        if self.rows(what, &members.array()?)? != self.key_rows() {
            return Err(SealError::ParmsId { what });
        }
        // Further powers of the secret would be for products of more than two.
        members.expect_word(1)?;
        members.expect_word(self.data_rows() as u64)?;
        let digits = (0..self.data_rows()).map(|_| {
            let (version, mut pair) = header::inner(&mut members)?;
            let digit = self.read_pair(version, &mut pair)?;
            pair.finish()?;
            Ok(digit)
        });
        let digits = digits.collect::<Result<_, SealError>>()?;
        members.finish()?;
        Ok(RelinearisationKey::from_evaluations(
            &self.context,
            key,
            digits,
        )?)
    }

    /// Writes a relinearisation key.
    ///
    /// # Errors
    /// If it has other parameters.
    pub fn write_relinearisation_key(
        &self,
        key: &RelinearisationKey,
    ) -> Result<Vec<u8>, SealError> {
        self.context.check_same(key.context())?;
        let length = HEADER_BYTES + SET_BYTES + self.data_rows() * self.pair_bytes();
        let mut writer = Writer::new(length);
        header::write(&mut writer, |writer| {
            let count = self.data_rows() as u64;
            writer
                .bytes(self.parms_id(self.key_rows()))
                .word(1)
                .word(count);
            for digit in key.evaluations() {
                self.write_object(writer, KEY_SCALE, &digit);
            }
        });
        Ok(writer.finish_public())
    }

    /// A ciphertext at the level of keys: `(-a s + e, a)`, perhaps with more on its first polynomial.
    fn read_pair(
        &self,
        version: Version,
        members: &mut Reader<'_>,
    ) -> Result<[Vec<u64>; 2], SealError> {
        let rows = self.key_rows();
        let pair = self.read_object(version, members, rows..=rows)?;
        if pair.scale == KEY_SCALE {
            Ok(pair.polynomials)
        } else {
            Err(SealError::KeyScale {
                what: members.what(),
                found: pair.scale,
            })
        }
    }

    fn pair_bytes(&self) -> usize {
        self.object_bytes(2, self.key_rows())
    }

    fn most_pair_bytes(&self) -> usize {
        self.pair_bytes() + CORRECTION_FACTOR_BYTES
    }
}

const PUBLIC_KEY: &str = "public key";
const RELINEARISATION_KEY: &str = "relinearisation key";

/// parms_id, number of powers of the secret, number of digits.
const SET_BYTES: usize = 32 + 2 * 8;

/// What SEAL states for keys.
pub(super) const KEY_SCALE: f64 = 1.0;
