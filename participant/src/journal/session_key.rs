//! The key that seals what is kept of a session. It lies in a file of its own, sealed under the host's key, and goes with the session:
//! then nothing that a database or a disk keeps of freed pages can be opened.
//!
//! The file's name carries the journal's counter, which steps with every change that must not be forgotten. A journal with a smaller one
//! is an older copy: with it the vault might answer twice.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use crypto::hash::SecretKey32;
use host::key_files::write_private;
use zeroize::Zeroizing;

/// A key that seals many secrets: each under a random nonce, kept in front, and bound to what it is.
pub(super) struct Cipher(LessSafeKey);

impl Cipher {
    pub(super) fn new(key: &SecretKey32) -> Self {
        let key = UnboundKey::new(&CHACHA20_POLY1305, key.as_bytes());
        Self(LessSafeKey::new(
            key.expect("the cipher's keys have 32 bytes"),
        ))
    }

    /// Seals a secret as `what`.
    pub(super) fn seal(&self, what: &[u8], secret: &[u8]) -> Result<Vec<u8>, &'static str> {
        let mut nonce = [0; NONCE_LEN];
        getrandom::fill(&mut nonce).map_err(|_| "the operating system gives no randomness")?;
        let mut sealed = Zeroizing::new(secret.to_vec());
        let nonce_used = Nonce::assume_unique_for_key(nonce);
        let tag = self
            .0
            .seal_in_place_separate_tag(nonce_used, Aad::from(what), &mut sealed)
            .map_err(|_| "sealing failed")?;
        Ok([&nonce, sealed.as_slice(), tag.as_ref()].concat())
    }

    /// Opens what was sealed as `what`.
    pub(super) fn open(
        &self,
        what: &[u8],
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, &'static str> {
        const DAMAGED: &str = "it is damaged, or was sealed with another key";
        let (nonce, rest) = sealed.split_first_chunk().ok_or(DAMAGED)?;
        let mut plain = Zeroizing::new(rest.to_vec());
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let opened = self.0.open_in_place(nonce, Aad::from(what), &mut plain);
        let length = opened.map_err(|_| DAMAGED)?.len();
        plain.truncate(length);
        Ok(plain)
    }
}

/// The files of session keys in the folder of a journal. There is one while a session is kept.
pub(super) struct SessionKeys {
    folder: PathBuf,
}

impl SessionKeys {
    pub(super) fn in_folder(folder: &Path) -> Self {
        let folder = folder.to_owned();
        Self { folder }
    }

    /// A new key, on disk.
    pub(super) fn create(&self, host: &Cipher, counter: u64) -> io::Result<Cipher> {
        let mut key = Zeroizing::new([0; 32]);
        getrandom::fill(key.as_mut_slice()).map_err(|error| io::Error::other(error.to_string()))?;
        let sealed = host.seal(WHAT, key.as_slice()).map_err(io::Error::other)?;
        write_private(&self.path(counter), &sealed)?;
        self.sync()?;
        Ok(Cipher::new(&SecretKey32::from_bytes(*key)))
    }

    /// The key that is there and its counter; of several, which no journal leaves behind, the newest.
    pub(super) fn load(&self, host: &Cipher) -> io::Result<Option<(u64, Cipher)>> {
        let Some(counter) = self.counters()?.into_iter().max() else {
            return Ok(None);
        };
        let sealed = fs::read(self.path(counter))?;
        let plain = host.open(WHAT, &sealed).map_err(io::Error::other)?;
        let key = <[u8; 32]>::try_from(plain.as_slice());
        let key = key.map_err(|_| io::Error::other("it has another length than a key"))?;
        Ok(Some((counter, Cipher::new(&SecretKey32::from_bytes(key)))))
    }

    /// The journal's counter has stepped. It need not be on disk at once: a file that lags behind is no reason to distrust the journal.
    pub(super) fn step(&self, from: u64, to: u64) -> io::Result<()> {
        fs::rename(self.path(from), self.path(to))
    }

    /// Removes every key.
    pub(super) fn remove(&self) -> io::Result<()> {
        for counter in self.counters()? {
            fs::remove_file(self.path(counter))?;
        }
        self.sync()
    }

    fn counters(&self) -> io::Result<Vec<u64>> {
        let mut counters = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let name = entry?.file_name();
            let number = name.to_str().and_then(|name| {
                let number = name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?;
                number.parse::<u64>().ok()
            });
            counters.extend(number);
        }
        Ok(counters)
    }

    fn path(&self, counter: u64) -> PathBuf {
        self.folder.join(format!("{PREFIX}{counter}{SUFFIX}"))
    }

    /// Names are on disk only with their folder.
    fn sync(&self) -> io::Result<()> {
        fs::File::open(&self.folder)?.sync_all()
    }
}

const PREFIX: &str = "session-";
const SUFFIX: &str = ".key";
const WHAT: &[u8] = b"session key";
