//! DICOM objects sent to an archive: C-STORE (PS3.7, 9.1.1) over an association without TLS.
//!
//! What is sent is a patient's, and is readable on the way: for a line between machines of one hospital network.

mod archive;
mod error;
mod object_file;
mod response;

use std::{
    collections::BTreeSet,
    io::Write as _,
    net::TcpStream,
    path::{Path, PathBuf},
};

pub use archive::{AeTitle, AeTitleError, Archive, ArchiveError};
use dicom_core::{DataElement, PrimitiveValue, Tag, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::InMemDicomObject;
use dicom_transfer_syntax_registry::entries;
use dicom_ul::{
    ClientAssociation, ClientAssociationOptions,
    pdu::{PDataValue, PDataValueType, Pdu},
};
pub use error::{StoreError, StoreFault};

use object_file::ObjectFile;
pub use response::Outcome;
use response::Response;

/// What an association may be asked for: the identifiers of its contexts are odd and fit in a byte.
const MAX_CLASSES: usize = 64;
/// C-STORE-RQ.
const STORE_REQUEST: u16 = 0x0001;
/// A data set follows the command. Any value but 0x0101 says so.
const DATA_SET_FOLLOWS: u16 = 0x0000;

/// An object that an archive has taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its file.
    pub path: PathBuf,
    /// How it took it.
    pub outcome: Outcome,
}

/// Sends files to an archive, one after the other over one association. To send one again is harmless: see the UIDs of objects.
///
/// Waits for a connection, and each time for the archive to read or to write, no longer than [`Archive::timeout`]; how long a name
/// takes to resolve is the system's affair.
///
/// # Errors
/// The first thing that goes wrong, with how many objects the archive has by then.
pub fn store(files: &[PathBuf], archive: &Archive) -> Result<Vec<Stored>, StoreError> {
    let mut stored = vec![];
    send_all(files, archive, &mut stored).map_err(|fault| StoreError {
        archive: archive.to_string(),
        stored: stored.len(),
        fault,
    })?;
    Ok(stored)
}

fn send_all(
    files: &[PathBuf],
    archive: &Archive,
    stored: &mut Vec<Stored>,
) -> Result<(), StoreFault> {
    // Which classes there are has to be said first; the objects themselves are read one at a time.
    let mut classes = BTreeSet::new();
    for path in files {
        classes.insert(ObjectFile::read(path)?.class);
    }
    if classes.is_empty() {
        return Ok(());
    }
    if classes.len() > MAX_CLASSES {
        return Err(StoreFault::Classes {
            found: classes.len(),
        });
    }
    let mut options = ClientAssociationOptions::new()
        .calling_ae_title(archive.calling.as_str())
        .called_ae_title(archive.called.as_str())
        .connection_timeout(archive.timeout)
        .read_timeout(archive.timeout)
        .write_timeout(archive.timeout);
    for class in classes {
        let encodings = [
            uids::EXPLICIT_VR_LITTLE_ENDIAN,
            uids::IMPLICIT_VR_LITTLE_ENDIAN,
        ]
        .map(str::to_owned)
        .to_vec();
        options = options.with_presentation_context(class, encodings);
    }
    let established = options.establish(archive.address.as_str());
    let mut association = established.map_err(StoreFault::of_association)?;
    for (place, path) in files.iter().enumerate() {
        // Numbers may be used again once they are answered.
        let message = u16::try_from(place % usize::from(u16::MAX)).expect("below 65535") + 1;
        match send(&mut association, path, message) {
            Ok(outcome) => stored.push(Stored {
                path: path.clone(),
                outcome,
            }),
            Err(fault) => {
                // The fault counts, not one of hanging up.
                let _ = association.abort();
                return Err(fault);
            }
        }
    }
    // Every object is answered for: that the archive hangs up before it is asked to changes nothing.
    let _ = association.release();
    Ok(())
}

/// Sends one object and waits for the answer.
fn send(
    association: &mut ClientAssociation<TcpStream>,
    path: &Path,
    message: u16,
) -> Result<Outcome, StoreFault> {
    let object = ObjectFile::read(path)?;
    let contexts = association.presentation_contexts().iter();
    let context = contexts
        .filter(|context| {
            context.reason == dicom_ul::pdu::PresentationContextResultReason::Acceptance
        })
        .find(|context| context.abstract_syntax == object.class)
        .ok_or_else(|| StoreFault::NotAccepted {
            class: object.class.clone(),
        })?;
    let (id, encoding) = (context.id, context.transfer_syntax.clone());
    let command = request(&object, message)?;
    let data = object.in_encoding(&encoding)?;
    let command = Pdu::PData {
        data: vec![PDataValue {
            presentation_context_id: id,
            value_type: PDataValueType::Command,
            is_last: true,
            data: command,
        }],
    };
    association
        .send(&command)
        .map_err(StoreFault::of_association)?;
    let mut writer = association.send_pdata(id);
    let written = writer.write_all(&data).and_then(|()| writer.finish());
    written.map_err(|source| StoreFault::Wire { source })?;
    let response = Response::receive(association, message)?;
    response.judge(path)
}

/// The command, in implicit little endian, as all commands are.
fn request(object: &ObjectFile, message: u16) -> Result<Vec<u8>, StoreFault> {
    let number =
        |tag: Tag, number: u16| DataElement::new(tag, VR::US, PrimitiveValue::from(number));
    let command = InMemDicomObject::command_from_element_iter([
        DataElement::new(tags::AFFECTED_SOP_CLASS_UID, VR::UI, object.class.as_str()),
        number(tags::COMMAND_FIELD, STORE_REQUEST),
        number(tags::MESSAGE_ID, message),
        // Medium.
        number(tags::PRIORITY, 0),
        number(tags::COMMAND_DATA_SET_TYPE, DATA_SET_FOLLOWS),
        DataElement::new(
            tags::AFFECTED_SOP_INSTANCE_UID,
            VR::UI,
            object.instance.as_str(),
        ),
    ]);
    let mut bytes = vec![];
    let syntax = entries::IMPLICIT_VR_LITTLE_ENDIAN.erased();
    let written = command.write_dataset_with_ts(&mut bytes, &syntax);
    written.map_err(|error| StoreFault::Protocol {
        what: format!("the command cannot be encoded: {error}"),
    })?;
    Ok(bytes)
}
