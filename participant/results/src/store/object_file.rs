//! A DICOM file of ours, as it is sent.

use std::{
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
};

use dicom_dictionary_std::{tags, uids};
use dicom_object::{FileMetaTable, InMemDicomObject};
use dicom_transfer_syntax_registry::entries;

use super::error::{StoreFault, chain};

/// Larger than any that is made here.
const MAX_FILE_BYTES: u64 = 1 << 26;
/// Before "DICM".
const PREAMBLE: usize = 128;
/// "DICM", and the element that says how long the rest of the meta information is.
const META_START: usize = 4 + 12;

/// An object in explicit little endian.
pub(super) struct ObjectFile {
    pub class: String,
    pub instance: String,
    data: Vec<u8>,
    path: PathBuf,
}

impl ObjectFile {
    pub(super) fn read(path: &Path) -> Result<Self, StoreFault> {
        let fault = |reason: String| StoreFault::File {
            path: path.to_owned(),
            reason,
        };
        let mut bytes = vec![];
        File::open(path)
            .and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes))
            .map_err(|error| fault(error.to_string()))?;
        if bytes.len() as u64 > MAX_FILE_BYTES {
            return Err(fault(format!("it is larger than {MAX_FILE_BYTES} bytes")));
        }
        let meta = bytes.get(PREAMBLE..).unwrap_or_default();
        let meta = FileMetaTable::from_reader(meta).map_err(|error| fault(chain(&error)))?;
        let syntax = meta.transfer_syntax();
        if syntax != uids::EXPLICIT_VR_LITTLE_ENDIAN {
            return Err(fault(format!(
                "its transfer syntax is {syntax}, not explicit little endian"
            )));
        }
        let start = PREAMBLE + META_START + meta.information_group_length as usize;
        let data = bytes.split_off(start.min(bytes.len()));
        let uid = |uid: &str| uid.trim_end_matches(['\0', ' ']).to_owned();
        Ok(Self {
            class: uid(meta.media_storage_sop_class_uid()),
            instance: uid(meta.media_storage_sop_instance_uid()),
            data,
            path: path.to_owned(),
        })
    }

    /// The data set in the encoding that was agreed on, one of the two that were offered.
    pub(super) fn in_encoding(self, encoding: &str) -> Result<Vec<u8>, StoreFault> {
        let encoding = encoding.trim_end_matches('\0');
        if encoding == uids::EXPLICIT_VR_LITTLE_ENDIAN {
            return Ok(self.data);
        }
        if encoding != uids::IMPLICIT_VR_LITTLE_ENDIAN {
            return Err(StoreFault::Protocol {
                what: format!("it chose the transfer syntax {encoding}, which was not offered"),
            });
        }
        let fault = |reason: String| StoreFault::File {
            path: self.path.clone(),
            reason,
        };
        let explicit = entries::EXPLICIT_VR_LITTLE_ENDIAN.erased();
        let object = InMemDicomObject::read_dataset_with_ts(self.data.as_slice(), &explicit)
            .map_err(|error| fault(chain(&error)))?;
        if let Some(charset) = unknown_charset(&object) {
            return Err(fault(format!(
                "the archive takes implicit little endian alone, and texts in {charset} cannot be put in it here"
            )));
        }
        let mut bytes = vec![];
        let implicit = entries::IMPLICIT_VR_LITTLE_ENDIAN.erased();
        object
            .write_dataset_with_ts(&mut bytes, &implicit)
            .map_err(|error| fault(chain(&error)))?;
        Ok(bytes)
    }
}

/// A character set that the library would not read and write without loss.
fn unknown_charset(object: &InMemDicomObject) -> Option<String> {
    let charset = object.element(tags::SPECIFIC_CHARACTER_SET).ok()?;
    let charset = charset.to_str().ok()?.trim().to_owned();
    let known = ["", "ISO_IR 6", "ISO_IR 100", "ISO_IR 192"];
    (!known.contains(&charset.as_str())).then_some(charset)
}
