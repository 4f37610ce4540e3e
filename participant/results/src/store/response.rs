//! The answer to a C-STORE.

use std::{io::Cursor, net::TcpStream, path::Path};

use dicom_core::Tag;
use dicom_dictionary_std::tags;
use dicom_parser::{
    StatefulDecode as _,
    dataset::{LazyDataToken, lazy_read::LazyDataSetReader},
};
use dicom_transfer_syntax_registry::entries;
use dicom_ul::{
    ClientAssociation,
    pdu::{PDataValueType, Pdu},
};

use super::error::{StoreFault, chain, plain};

/// Real answers need some hundred bytes.
const MAX_BYTES: usize = 1 << 14;
/// C-STORE-RSP.
const STORE_RESPONSE: u16 = 0x8001;

/// How an archive took an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// As it was sent.
    Taken,
    /// With a warning, such as that it has changed values.
    Warned {
        /// As PS3.4, table B.2-1 has them.
        status: u16,
    },
    /// It has an object of this UID, and keeps that: as it is when a prediction is sent again.
    AlreadyThere,
}

/// What the command of an answer says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Response {
    status: u16,
    comment: String,
}

impl Response {
    /// Waits for the answer to a message.
    pub(super) fn receive(
        association: &mut ClientAssociation<TcpStream>,
        message: u16,
    ) -> Result<Self, StoreFault> {
        let mut command = vec![];
        loop {
            let pdu = association.receive().map_err(StoreFault::of_association)?;
            let data = match pdu {
                Pdu::PData { data } => data,
                Pdu::AbortRQ { source } => {
                    return Err(protocol(&format!("it aborts: {source:?}")));
                }
                other => return Err(protocol(&format!("{}", other.short_description()))),
            };
            for part in data {
                if part.value_type != PDataValueType::Command {
                    return Err(protocol("data where an answer is due"));
                }
                command.extend(part.data);
                if command.len() > MAX_BYTES {
                    return Err(protocol("an answer without end"));
                }
                if part.is_last {
                    return Self::parse(command, message);
                }
            }
        }
    }

    /// Reads a command without following it into sequences, of which an answer has none.
    fn parse(command: Vec<u8>, message: u16) -> Result<Self, StoreFault> {
        let length = command.len() as u64;
        let (mut status, mut kind, mut answered) = (None, None, None);
        let mut comment = String::new();
        let syntax = entries::IMPLICIT_VR_LITTLE_ENDIAN.erased();
        let mut tokens = LazyDataSetReader::new_with_ts(Cursor::new(command), &syntax)
            .map_err(|error| protocol(&chain(&error)))?;
        while let Some(token) = tokens.advance() {
            match token.map_err(|error| protocol(&chain(&error)))? {
                LazyDataToken::ElementHeader(_) => {}
                LazyDataToken::LazyValue { header, decoder } => {
                    let value = header.len.get().filter(|value| u64::from(*value) <= length);
                    let value = value.ok_or_else(|| protocol("a value longer than the answer"))?;
                    let mut bytes = vec![];
                    decoder
                        .read_to_vec(value, &mut bytes)
                        .map_err(|error| protocol(&chain(&error)))?;
                    let number = bytes.first_chunk().map(|bytes| u16::from_le_bytes(*bytes));
                    match header.tag {
                        tags::STATUS => status = number,
                        tags::COMMAND_FIELD => kind = number,
                        tags::MESSAGE_ID_BEING_RESPONDED_TO => answered = number,
                        tags::ERROR_COMMENT => comment = plain(&String::from_utf8_lossy(&bytes)),
                        Tag(..) => {}
                    }
                }
                _ => return Err(protocol("a sequence within a command")),
            }
        }
        if kind != Some(STORE_RESPONSE) || answered != Some(message) {
            return Err(protocol("the answer to something else"));
        }
        let status = status.ok_or_else(|| protocol("an answer without a status"))?;
        Ok(Self { status, comment })
    }

    /// Whether the object is stored (PS3.4, table B.2-1, and PS3.7, annex C).
    pub(super) fn judge(self, path: &Path) -> Result<Outcome, StoreFault> {
        let meaning = match self.status {
            0x0000 => return Ok(Outcome::Taken),
            0x0111 => return Ok(Outcome::AlreadyThere),
            status @ (0x0001 | 0x0107 | 0x0116 | 0xb000..=0xbfff) => {
                return Ok(Outcome::Warned { status });
            }
            0xa700..=0xa7ff => "it is out of resources: make room in the archive",
            0xa900..=0xa9ff => {
                "the data do not fit their class: report this with the archive's log"
            }
            0xc000..=0xcfff => "it cannot understand them: report this with the archive's log",
            0x0122 => "it does not take this class: switch the storage class on in the archive",
            0x0124 => "this application may not store: allow our AE title in the archive",
            _ => "see the archive's log",
        };
        let comment = match self.comment.trim() {
            "" => String::new(),
            comment => format!(" (it says: {comment})"),
        };
        Err(StoreFault::Refused {
            path: path.to_owned(),
            status: self.status,
            meaning,
            comment,
        })
    }
}

fn protocol(what: &str) -> StoreFault {
    StoreFault::Protocol { what: plain(what) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Elements of group 0000 in implicit little endian.
    fn command(elements: &[(u16, &[u8])]) -> Vec<u8> {
        let mut bytes = vec![];
        for (element, value) in elements {
            bytes.extend([0, 0]);
            bytes.extend(element.to_le_bytes());
            bytes.extend((value.len() as u32).to_le_bytes());
            bytes.extend(*value);
        }
        bytes
    }

    fn answer(status: [u8; 2]) -> Vec<u8> {
        command(&[
            (0x0100, &[0x01, 0x80]),
            (0x0120, &[7, 0]),
            (0x0800, &[0x01, 0x01]),
            (0x0900, &status),
            (0x0902, b"no \x1b[31mroom"),
        ])
    }

    #[test]
    fn the_status_decides() {
        let judged = |status| {
            let response = Response::parse(answer(status), 7).expect("an answer");
            response.judge(Path::new("a.dcm"))
        };
        assert!(matches!(judged([0, 0]), Ok(Outcome::Taken)));
        assert!(matches!(judged([0x11, 0x01]), Ok(Outcome::AlreadyThere)));
        let warned = Outcome::Warned { status: 0xb000 };
        assert!(matches!(judged([0, 0xb0]), Ok(outcome) if outcome == warned));
        let error = judged([0, 0xa7]).expect_err("refused").to_string();
        assert!(
            error.contains("0xa700") && error.contains("make room"),
            "{error}"
        );
        assert!(error.contains("(it says: no  [31mroom)"), "{error}");
        judged([1, 0xfe]).expect_err("cancelled");
    }

    #[test]
    fn what_is_no_answer_to_the_message_is_refused() {
        let refused = |bytes: Vec<u8>| {
            let error = Response::parse(bytes, 7).expect_err("no answer");
            assert!(matches!(error, StoreFault::Protocol { .. }), "{error}");
        };
        refused(vec![]);
        refused(answer([0, 0])[..20].to_vec());
        refused(command(&[
            (0x0100, &[0x01, 0x80]),
            (0x0120, &[8, 0]),
            (0x0900, &[0, 0]),
        ]));
        refused(command(&[(0x0100, &[0x01, 0x80]), (0x0120, &[7, 0])]));
        // A sequence, and the end of an item that did not begin.
        let mut nested = answer([0, 0]);
        nested.extend([8, 0, 0x40, 0x11, 0xff, 0xff, 0xff, 0xff]);
        refused(nested);
        let mut stray = answer([0, 0]);
        stray.extend([0xfe, 0xff, 0x0d, 0xe0, 0, 0, 0, 0]);
        refused(stray);
    }

    #[test]
    fn no_damage_to_an_answer_panics() {
        let whole = answer([0, 0]);
        for length in 0..whole.len() {
            let _ = Response::parse(whole[..length].to_vec(), 7);
        }
        let mut refused = 0;
        for place in 0..whole.len() {
            for value in 0..=u8::MAX {
                let mut damaged = whole.clone();
                damaged[place] = value;
                refused += usize::from(Response::parse(damaged, 7).is_err());
            }
        }
        assert!(refused > whole.len() * 64, "{refused}");
    }
}
