use zeroize::Zeroizing;

use super::bytes::Writer;
use super::header::{self, HEADER_BYTES, Object};
use super::keys::KEY_SCALE;
use super::polynomials::{array_bytes, read_array, write_array};
use super::{SealContext, SealError};
use crypto::ckks::{CkksError, KeyId, SecretKey};

impl SealContext {
    /// Reads a secret key. SEAL's keys have no names: `key` is the one that it is to have from now on.
    ///
    /// # Errors
    /// If the bytes are no secret key of these parameters: a word is not below its prime, or the polynomial is not
    /// ternary, the same under each prime.
    ///
    /// # Security
    /// Constant-time, but for the decompression of files that are compressed. What was decompressed is erased; `bytes` are the
    /// caller's to erase.
    pub fn read_secret_key(&self, bytes: &[u8], key: KeyId) -> Result<SecretKey, SealError> {
        let (what, rows) = (SECRET_KEY, self.key_rows());
        let words = rows * self.context.degree();
        let object = Object::open(what, bytes, FIELD_BYTES + array_bytes(words))?;
        let mut members = object.members();
        if self.rows(what, &members.array()?)? != rows {
            return Err(SealError::ParmsId { what });
        }
        members.expect_word(words as u64)?;
        let scale = members.real()?;
        if scale != KEY_SCALE {
            return Err(SealError::KeyScale { what, found: scale });
        }
        let array = read_array(&mut members)?;
        if array.len() != 8 * words {
            return Err(SealError::Length {
                what,
                expected: words as u64,
                found: (array.len() / 8) as u64,
            });
        }
        members.finish()?;
        let polynomial = self.polynomial(what, array, 0)?;
        SecretKey::from_evaluations(&self.context, key, polynomial).map_err(|error| match error {
            CkksError::NotTernary => SealError::NotTernary,
            error => error.into(),
        })
    }

    /// Writes a secret key. The bytes are erased when dropped.
    ///
    /// # Errors
    /// If it has other parameters.
    pub fn write_secret_key(&self, key: &SecretKey) -> Result<Zeroizing<Vec<u8>>, SealError> {
        self.context.check_same(key.context())?;
        let words = self.key_rows() * self.context.degree();
        let mut writer = Writer::new(HEADER_BYTES + FIELD_BYTES + array_bytes(words));
        header::write(&mut writer, |writer| {
            writer
                .bytes(self.parms_id(self.key_rows()))
                .word(words as u64)
                .real(KEY_SCALE);
            write_array(writer, self, &[key.expose_evaluations()]);
        });
        Ok(writer.finish())
    }
}

const SECRET_KEY: &str = "secret key";

/// parms_id, number of words, scale.
const FIELD_BYTES: usize = 32 + 2 * 8;
