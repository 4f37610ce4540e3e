//! A contribution as the coordinator's service keeps it for the machine: in a file, which the machine may read again. By then it may be
//! gone, or another one.

use std::{
    cell::Cell,
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use coordinator::machine::UploadedBytes;
use crypto::sealed_sum::HospitalId;

/// What is read again of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// Nothing.
    Gone,
    /// Other bytes.
    Altered,
}

/// The disk with all of them.
#[derive(Clone, Default)]
pub(crate) struct UploadsDisk(Arc<Mutex<Contents>>);

#[derive(Default)]
struct Contents {
    damaged: BTreeMap<HospitalId, Damage>,
    read_again: u64,
    read_in_vain: u64,
}

/// How often files were read again since this was last asked.
pub(crate) struct Readings {
    pub(crate) again: u64,
    pub(crate) in_vain: u64,
}

impl UploadsDisk {
    /// A file with an upload of this hospital.
    pub(crate) fn keep(&self, hospital: HospitalId, bytes: Vec<u8>) -> KeptUpload {
        KeptUpload {
            disk: self.clone(),
            hospital,
            bytes,
            was_read: Cell::new(false),
        }
    }

    /// From now on no upload of this hospital can be read a second time.
    pub(crate) fn damage(&self, hospital: HospitalId, damage: Damage) {
        self.contents().damaged.insert(hospital, damage);
    }

    pub(crate) fn take_readings(&self) -> Readings {
        let mut contents = self.contents();
        Readings {
            again: std::mem::take(&mut contents.read_again),
            in_vain: std::mem::take(&mut contents.read_in_vain),
        }
    }

    fn contents(&self) -> MutexGuard<'_, Contents> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A contribution in a file that the machine may read again.
pub(crate) struct KeptUpload {
    disk: UploadsDisk,
    hospital: HospitalId,
    bytes: Vec<u8>,
    was_read: Cell<bool>,
}

impl UploadedBytes for KeptUpload {
    fn length(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read<'a>(&'a self, buffer: &'a mut Vec<u8>) -> io::Result<&'a [u8]> {
        buffer.clear();
        buffer.extend_from_slice(&self.bytes);
        if !self.was_read.replace(true) {
            return Ok(buffer);
        }
        let mut contents = self.disk.contents();
        let damage = contents.damaged.get(&self.hospital).copied();
        match damage {
            None => contents.read_again += 1,
            Some(_) => contents.read_in_vain += 1,
        }
        match damage {
            None => {}
            Some(Damage::Gone) => return Err(io::Error::other("its file is gone")),
            Some(Damage::Altered) => {
                if let Some(last) = buffer.last_mut() {
                    *last ^= 1;
                }
            }
        }
        Ok(buffer)
    }
}
