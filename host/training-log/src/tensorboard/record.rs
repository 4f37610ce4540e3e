//! TensorFlow's records: each event with its length and checksums before and behind it.
//!
//! ```text
//!  length u64 | masked CRC-32C of the length u32 | event | masked CRC-32C of the event u32      little-endian
//! ```

/// A record with these bytes.
pub fn frame(event: &[u8]) -> Vec<u8> {
    let length = (event.len() as u64).to_le_bytes();
    let checksum = |bytes: &[u8]| masked(crc32c::crc32c(bytes)).to_le_bytes();
    [&length[..], &checksum(&length), event, &checksum(event)].concat()
}

/// A checksum of bytes that have checksums in them says little: TensorFlow turns and shifts it.
fn masked(checksum: u32) -> u32 {
    checksum.rotate_right(15).wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CRC-32C of RFC 3720, B.4; the record is what TensorBoard's own `RecordWriter` makes of the same bytes.
    #[test]
    fn a_record_is_that_of_tensorboard() {
        assert_eq!(crc32c::crc32c(&[0; 32]), 0x8a91_36aa);
        let mut expected = vec![24, 0, 0, 0, 0, 0, 0, 0, 0xa3, 0x7f, 0x4b, 0x22];
        expected.extend([0; 24]);
        expected.extend([0xcf, 0xf4, 0x5f, 0x7c]);
        assert_eq!(frame(&[0; 24]), expected);
    }
}
