use super::edits::edited;

/// A function that reads bytes from strangers. Any bytes give a value or an error.
#[derive(Debug)]
pub struct Decoder {
    /// For the messages of a test.
    pub name: &'static str,
    /// How many byte strings stand for one value.
    pub forms: Forms,
    /// Some byte strings that are accepted.
    pub accepted: fn() -> Vec<Vec<u8>>,
    /// Decodes, and encodes what was decoded; nothing if the bytes are refused.
    pub decode_and_encode: fn(&[u8]) -> Option<Vec<u8>>,
}

/// How many byte strings stand for one value.
#[derive(Clone, Copy, Debug)]
pub enum Forms {
    /// One, which is what is written.
    One,
    /// Several, of which one is written.
    Several,
}

impl Decoder {
    /// Whether the bytes are accepted.
    ///
    /// # Panics
    /// If the value that they are accepted as has other bytes, or is not read back from those that are written; or if the
    /// decoder itself panics.
    pub fn accepts(&self, bytes: &[u8]) -> bool {
        match (self.decode_and_encode)(bytes) {
            Some(encoded) => {
                match self.forms {
                    Forms::One => assert!(encoded == bytes, "{}: two forms", self.name),
                    Forms::Several => {
                        let again = (self.decode_and_encode)(&encoded);
                        assert!(again.as_ref() == Some(&encoded), "{}: changed", self.name);
                    }
                }
                true
            }
            None => false,
        }
    }

    /// One input of a fuzzer: arbitrary bytes, or edits of accepted ones. Without the latter a fuzzer would have to
    /// find the lengths of hundreds of kilobytes by itself.
    ///
    /// # Panics
    /// As [`accepts`](Self::accepts).
    pub fn fuzz(&self, input: &[u8]) {
        match input.split_first() {
            Some((0, bytes)) => self.accepts(bytes),
            Some((choice, script)) => {
                let accepted = (self.accepted)();
                let start = &accepted[usize::from(*choice) % accepted.len()];
                self.accepts(&edited(start, script))
            }
            None => self.accepts(&[]),
        };
    }
}
