//! A gzipped file to its end, with every checksum on the way compared.

use std::io::{self, BufRead as _, BufReader, Read};

use flate2::bufread::GzDecoder;

/// The bytes of all members of a gzipped source. What follows the last of them, such as padding, is not looked at.
///
/// flate2's own reader of several members takes such padding for a member, and refuses the file.
pub(super) struct GzMembers<R> {
    member: Option<GzDecoder<BufReader<R>>>,
}

impl<R: Read> GzMembers<R> {
    pub(super) fn new(source: BufReader<R>) -> Self {
        Self {
            member: Some(GzDecoder::new(source)),
        }
    }
}

impl<R: Read> Read for GzMembers<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = &mut self.member {
            let count = member.read(buffer)?;
            if count > 0 || buffer.is_empty() {
                return Ok(count);
            }
            // The member has ended, and its checksum is right.
            let Some(ended) = self.member.take() else {
                break;
            };
            let mut rest = ended.into_inner();
            let goes_on = match rest.fill_buf()? {
                [0x1f, second, ..] => *second == 0x8b,
                [0x1f] => true,
                _ => false,
            };
            self.member = goes_on.then(|| GzDecoder::new(rest));
        }
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::{Compression, write::GzEncoder};

    use super::*;

    fn packed(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(vec![], Compression::fast());
        encoder.write_all(bytes).expect("to memory");
        encoder.finish().expect("to memory")
    }

    fn read(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut found = vec![];
        // A small buffer puts its end anywhere in a member.
        let source = BufReader::with_capacity(7, bytes);
        GzMembers::new(source).read_to_end(&mut found)?;
        Ok(found)
    }

    #[test]
    fn members_follow_one_another_and_what_comes_after_is_not_looked_at() {
        let two = [packed(b"scan "), packed(b"of a head")].concat();
        assert_eq!(read(&two).expect("whole"), b"scan of a head");
        for padding in [&[0; 512][..], b"\0", b"text"] {
            let padded = [&two, padding].concat();
            assert_eq!(read(&padded).expect("whole"), b"scan of a head");
        }
    }

    #[test]
    fn a_checksum_that_is_wrong_or_cut_off_is_an_error() {
        let whole = packed(b"scan of a head");
        for place in [whole.len() - 8, whole.len() - 1] {
            let mut damaged = whole.clone();
            damaged[place] ^= 1;
            assert!(read(&damaged).is_err(), "{place}");
        }
        for end in [whole.len() - 1, whole.len() - 5, 12] {
            assert!(read(&whole[..end]).is_err(), "{end}");
        }
    }
}
