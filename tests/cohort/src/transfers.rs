//! Uploads and downloads, which break off at any byte and go on from there on the next connection, as the coordinator's service and
//! the participant's shell have it.

use std::{collections::BTreeMap, sync::Arc};

use crypto::sealed_sum::HospitalId;
use protocol::digests::OutcomeName;

/// The name of a blob that a hospital uploads.
pub(crate) type UploadName = [u8; 32];

use crate::{network::LinkId, parties::Timestamp};

/// Bytes on their way.
struct Moving<N> {
    link: LinkId,
    number: u64,
    name: N,
    /// What the receiver had before.
    held: Vec<u8>,
    /// All bytes, as the sender has them.
    bytes: Arc<[u8]>,
    began: Timestamp,
    ends: Timestamp,
}

impl<N> Moving<N> {
    /// What the receiver has at `now`: in proportion to the time, to the byte.
    fn arrived_by(mut self, now: Timestamp) -> Vec<u8> {
        let (length, held) = (self.bytes.len() as u64, self.held.len() as u64);
        let whole = (self.ends.0 - self.began.0).max(1);
        let passed = now.0.saturating_sub(self.began.0).min(whole);
        let arrived = held + (length - held) * passed / whole;
        self.held
            .extend_from_slice(&self.bytes[held as usize..arrived as usize]);
        self.held
    }

    fn complete(mut self) -> Vec<u8> {
        self.held.extend_from_slice(&self.bytes[self.held.len()..]);
        self.held
    }
}

/// What the coordinator has of a hospital's last upload that is not under way.
enum Shelved {
    Beginning { name: UploadName, bytes: Vec<u8> },
    Taken { name: UploadName },
}

/// The uploads and downloads that are under way.
#[derive(Default)]
pub(crate) struct Transfers {
    uploads: BTreeMap<HospitalId, Moving<UploadName>>,
    shelf: BTreeMap<HospitalId, Shelved>,
    downloads: BTreeMap<(HospitalId, OutcomeName), Moving<OutcomeName>>,
    beginnings: BTreeMap<(HospitalId, OutcomeName), Vec<u8>>,
    next_number: u64,
}

/// How many transfers broke off with a connection, when something but not all of them had arrived.
#[derive(Default)]
pub(crate) struct Broken {
    pub(crate) uploads: u64,
    pub(crate) downloads: u64,
}

impl Transfers {
    /// Whether this upload was accepted before.
    pub(crate) fn was_taken(&self, hospital: HospitalId, upload: &UploadName) -> bool {
        matches!(self.shelf.get(&hospital), Some(Shelved::Taken { name }) if name == upload)
    }

    /// Whether an upload of this hospital is under way.
    pub(crate) fn is_uploading(&self, hospital: HospitalId) -> bool {
        self.uploads.contains_key(&hospital)
    }

    /// The bytes of this upload that are here from an earlier connection, out of the shelf.
    pub(crate) fn take_partial_upload(
        &mut self,
        hospital: HospitalId,
        upload: &UploadName,
    ) -> Vec<u8> {
        match self.shelf.remove(&hospital) {
            Some(Shelved::Beginning { name, bytes }) if name == *upload => bytes,
            _ => Vec::new(),
        }
    }

    /// Starts an upload; its number comes with its end.
    pub(crate) fn begin_upload(
        &mut self,
        hospital: HospitalId,
        link: LinkId,
        (name, held, bytes): (UploadName, Vec<u8>, Arc<[u8]>),
        (began, ends): (Timestamp, Timestamp),
    ) -> u64 {
        let number = self.number();
        let upload = Moving {
            link,
            number,
            name,
            held,
            bytes,
            began,
            ends,
        };
        self.uploads.insert(hospital, upload);
        number
    }

    /// The upload has come to its end, unless its connection was lost before.
    pub(crate) fn end_upload(
        &mut self,
        hospital: HospitalId,
        number: u64,
    ) -> Option<(UploadName, Vec<u8>)> {
        let upload = self.uploads.get(&hospital)?;
        if upload.number != number {
            return None;
        }
        let upload = self.uploads.remove(&hospital)?;
        Some((upload.name, upload.complete()))
    }

    /// The upload was accepted: offered again, it is known.
    pub(crate) fn mark_taken(&mut self, hospital: HospitalId, name: UploadName) {
        self.shelf.insert(hospital, Shelved::Taken { name });
    }

    /// Starts a download, or goes on with it: the bytes still to come.
    pub(crate) fn remaining(
        &self,
        hospital: HospitalId,
        name: &OutcomeName,
        bytes: &[u8],
    ) -> usize {
        let held = self.beginnings.get(&(hospital, *name)).map_or(0, Vec::len);
        bytes.len() - held.min(bytes.len())
    }

    /// Starts a download; its number comes with its end.
    pub(crate) fn begin_download(
        &mut self,
        hospital: HospitalId,
        link: LinkId,
        (name, bytes): (OutcomeName, Arc<[u8]>),
        (began, ends): (Timestamp, Timestamp),
    ) -> u64 {
        let number = self.number();
        let held = self
            .beginnings
            .remove(&(hospital, name))
            .unwrap_or_default();
        let download = Moving {
            link,
            number,
            name,
            held,
            bytes,
            began,
            ends,
        };
        self.downloads.insert((hospital, name), download);
        number
    }

    /// The download has come to its end, unless its connection was lost before or it was started again.
    pub(crate) fn end_download(
        &mut self,
        hospital: HospitalId,
        name: OutcomeName,
        number: u64,
    ) -> Option<Vec<u8>> {
        let download = self.downloads.get(&(hospital, name))?;
        if download.number != number {
            return None;
        }
        let download = self.downloads.remove(&(hospital, name))?;
        Some(download.complete())
    }

    /// The connection is lost: what has arrived by now stays where it is.
    pub(crate) fn break_off(&mut self, link: LinkId, now: Timestamp) -> Broken {
        let mut broken = Broken::default();
        let is_part = |arrived: &[u8], length: usize| !arrived.is_empty() && arrived.len() < length;
        for (hospital, upload) in extract(&mut self.uploads, link) {
            let (name, length) = (upload.name, upload.bytes.len());
            let bytes = upload.arrived_by(now);
            broken.uploads += u64::from(is_part(&bytes, length));
            self.shelf
                .insert(hospital, Shelved::Beginning { name, bytes });
        }
        for (key, download) in extract(&mut self.downloads, link) {
            let length = download.bytes.len();
            let bytes = download.arrived_by(now);
            broken.downloads += u64::from(is_part(&bytes, length));
            self.beginnings.insert(key, bytes);
        }
        broken
    }

    /// The coordinator's process has ended: it keeps uploads in memory alone.
    pub(crate) fn forget_uploads(&mut self) {
        self.uploads.clear();
        self.shelf.clear();
    }

    fn number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }
}

fn extract<K: Ord + Copy, N>(
    map: &mut BTreeMap<K, Moving<N>>,
    link: LinkId,
) -> Vec<(K, Moving<N>)> {
    let keys: Vec<K> = map
        .iter()
        .filter(|(_, moving)| moving.link == link)
        .map(|(key, _)| *key)
        .collect();
    keys.into_iter()
        .filter_map(|key| map.remove(&key).map(|moving| (key, moving)))
        .collect()
}
