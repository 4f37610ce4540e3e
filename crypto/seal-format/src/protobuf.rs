//! As much of protocol buffers, version 3, as TenSEAL's four messages need.
//!
//! Fields are borrowed from the bytes, so that a secret key is not copied on the way.

use super::SealError;
use super::bytes::{Reader, Writer};

/// A field: its number, and what it holds.
pub(super) struct Field<'a> {
    pub(super) number: u64,
    pub(super) value: Value<'a>,
}

/// What the wire tells apart.
pub(super) enum Value<'a> {
    /// Whole numbers and truth values.
    Number(u64),
    /// A word of 64 bits: in these messages a floating-point number.
    Real(f64),
    /// Bytes, a message, or packed numbers.
    Bytes(&'a [u8]),
    /// A message to be written; what is read is [`Bytes`](Self::Bytes).
    Message(Vec<Field<'a>>),
    /// A word of 32 bits, which none of these messages has.
    Narrow([u8; 4]),
}

/// The fields of a message in the order in which they stand.
pub(super) fn fields<'a>(
    what: &'static str,
    bytes: &'a [u8],
) -> impl Iterator<Item = Result<Field<'a>, SealError>> {
    let mut reader = Reader::new(what, bytes);
    // After an error there is no next field.
    let mut failed = false;
    std::iter::from_fn(move || {
        if failed || reader.left() == 0 {
            return None;
        }
        let field = field(&mut reader);
        failed = field.is_err();
        Some(field)
    })
}

fn field<'a>(reader: &mut Reader<'a>) -> Result<Field<'a>, SealError> {
    let damaged = SealError::ProtocolBuffer {
        what: reader.what(),
    };
    let tag = number(reader)?;
    let value = match tag & 7 {
        0 => Value::Number(number(reader)?),
        1 => Value::Real(reader.real()?),
        2 => {
            let length = number(reader)?;
            Value::Bytes(reader.bytes(length)?)
        }
        5 => Value::Narrow(reader.array()?),
        _ => return Err(damaged),
    };
    match tag >> 3 {
        number @ 1..=LARGEST_FIELD => Ok(Field { number, value }),
        _ => Err(damaged),
    }
}

/// Seven bits a byte, lowest first; the highest bit of a byte says that there is another.
fn number(reader: &mut Reader<'_>) -> Result<u64, SealError> {
    let mut number = 0;
    for place in 0..10 {
        let byte = reader.byte()?;
        let bits = u64::from(byte & 0x7f);
        if place == 9 && bits > 1 {
            break;
        }
        number |= bits << (7 * place);
        if byte < 0x80 {
            return Ok(number);
        }
    }
    Err(SealError::ProtocolBuffer {
        what: reader.what(),
    })
}

impl<'a> Field<'a> {
    /// The bytes of a field that must hold bytes.
    pub(super) fn bytes(&self, what: &'static str) -> Result<&'a [u8], SealError> {
        match self.value {
            Value::Bytes(bytes) => Ok(bytes),
            _ => Err(SealError::ProtocolBuffer { what }),
        }
    }

    /// The number of a field that must hold one.
    pub(super) fn number(&self, what: &'static str) -> Result<u64, SealError> {
        match self.value {
            Value::Number(number) => Ok(number),
            _ => Err(SealError::ProtocolBuffer { what }),
        }
    }

    /// The real number of a field that must hold one.
    pub(super) fn real(&self, what: &'static str) -> Result<f64, SealError> {
        match self.value {
            Value::Real(real) => Ok(real),
            _ => Err(SealError::ProtocolBuffer { what }),
        }
    }

    /// Appends the numbers of a repeated field: packed, or one.
    pub(super) fn numbers(
        &self,
        what: &'static str,
        numbers: &mut Vec<u64>,
    ) -> Result<(), SealError> {
        match self.value {
            Value::Number(one) => numbers.push(one),
            Value::Bytes(packed) => {
                let mut packed = Reader::new(what, packed);
                while packed.left() > 0 {
                    numbers.push(number(&mut packed)?);
                }
            }
            _ => return Err(SealError::ProtocolBuffer { what }),
        }
        Ok(())
    }
}

/// Writes a message. It may hold a secret: nothing is put together before it has its place.
pub(super) fn message(fields: &[Field<'_>]) -> Writer {
    let mut writer = Writer::new(fields.iter().map(Field::length).sum());
    for field in fields {
        field.write(&mut writer);
    }
    writer
}

impl Field<'_> {
    fn length(&self) -> usize {
        let content = self.value.length();
        let announced = match self.value {
            Value::Bytes(_) | Value::Message(_) => number_length(content as u64),
            _ => 0,
        };
        number_length(self.number << 3) + announced + content
    }

    fn write(&self, writer: &mut Writer) {
        let mut start = |wire_type| write_number(writer, self.number << 3 | wire_type);
        match &self.value {
            Value::Number(number) => {
                start(0);
                write_number(writer, *number);
            }
            Value::Real(real) => {
                start(1);
                writer.real(*real);
            }
            Value::Bytes(bytes) => {
                start(2);
                write_number(writer, bytes.len() as u64);
                writer.bytes(bytes);
            }
            Value::Message(fields) => {
                start(2);
                write_number(writer, self.value.length() as u64);
                for field in fields {
                    field.write(writer);
                }
            }
            Value::Narrow(bytes) => {
                start(5);
                writer.bytes(bytes);
            }
        }
    }
}

impl Value<'_> {
    /// Without what announces it.
    fn length(&self) -> usize {
        match self {
            Value::Number(number) => number_length(*number),
            Value::Real(_) => 8,
            Value::Bytes(bytes) => bytes.len(),
            Value::Message(fields) => fields.iter().map(Field::length).sum(),
            Value::Narrow(bytes) => bytes.len(),
        }
    }
}

/// Packed numbers: the content of a repeated field.
pub(super) fn packed(numbers: impl IntoIterator<Item = u64> + Clone) -> Vec<u8> {
    let length = numbers.clone().into_iter().map(number_length).sum();
    let mut writer = Writer::new(length);
    for number in numbers {
        write_number(&mut writer, number);
    }
    writer.finish_public()
}

fn write_number(writer: &mut Writer, mut number: u64) {
    while number >= 0x80 {
        writer.byte(number as u8 | 0x80);
        number >>= 7;
    }
    writer.byte(number as u8);
}

fn number_length(number: u64) -> usize {
    let bits = u64::BITS - (number | 1).leading_zeros();
    bits.div_ceil(7) as usize
}

/// Of the format.
const LARGEST_FIELD: u64 = (1 << 29) - 1;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// `sizes: [3, 300]`, `scale: 1.0`, `batch_size: 2`, from the format's rules.
    const BYTES: &[u8] = b"\x0a\x03\x03\xac\x02\x19\0\0\0\0\0\0\xf0\x3f\x20\x02";

    fn field(number: u64, value: Value<'_>) -> Field<'_> {
        Field { number, value }
    }

    #[test]
    fn literal_bytes() {
        let sizes = packed([3, 300]);
        let inside = || {
            let sizes = field(1, Value::Bytes(&sizes));
            vec![
                sizes,
                field(3, Value::Real(1.0)),
                field(4, Value::Number(2)),
            ]
        };
        assert_eq!(message(&inside()).finish_public(), BYTES);
        let nested = message(&[field(2, Value::Message(inside()))]).finish_public();
        assert_eq!(nested, [b"\x12\x10", BYTES].concat());
    }

    #[test]
    fn fields_come_in_order_and_an_error_is_the_last() {
        let mut numbers = vec![];
        for field in fields("message", BYTES) {
            let field = field.expect("valid");
            match field.number {
                1 => field.numbers("message", &mut numbers).expect("numbers"),
                3 => assert_eq!(field.real("message"), Ok(1.0)),
                _ => assert_eq!(field.number("message"), Ok(2)),
            }
        }
        assert_eq!(numbers, [3, 300]);
        for length in 1..BYTES.len() {
            let fields: Vec<_> = fields("message", &BYTES[..length]).collect();
            let is_whole = [5, 14].contains(&length);
            assert_eq!(fields.iter().all(Result::is_ok), is_whole, "{length}");
        }
        // Field 0, a group, a number of more than 64 bits, a length beyond the end.
        let wrong: [&[u8]; 4] = [
            &[0x00, 0],
            &[0x0b],
            &[8, 255, 255, 255, 255, 255, 255, 255, 255, 255, 2],
            &[0x0a, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1],
        ];
        for bytes in wrong {
            let fields: Vec<_> = fields("message", bytes).collect();
            assert!(matches!(fields[..], [Err(_)]), "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn numbers_are_read_as_they_are_written(number: u64, shift in 0..64_u32) {
            let number = number >> shift;
            let bytes = packed([number]);
            prop_assert_eq!(bytes.len(), number_length(number));
            prop_assert_eq!(super::number(&mut Reader::new("number", &bytes)), Ok(number));
        }
    }
}
