//! Transfer syntaxes: how a data set and its pixels are encoded (PS3.5, sections 8 and 10).

use dicom_transfer_syntax_registry::{TransferSyntax, entries};

use super::FileError;

/// An encoding that is read here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Syntax {
    ImplicitLittle,
    ExplicitLittle,
    ExplicitBig,
    Deflated,
    /// RLE Lossless.
    Rle,
    /// JPEG baseline, extended or lossless; which one the stream says itself.
    Jpeg,
    /// JPEG 2000, reversible or not, as the stream says.
    Jpeg2000,
}

impl Syntax {
    pub(super) fn from_uid(uid: &str) -> Result<Self, FileError> {
        match uid {
            "1.2.840.10008.1.2" => Ok(Self::ImplicitLittle),
            "1.2.840.10008.1.2.1" => Ok(Self::ExplicitLittle),
            "1.2.840.10008.1.2.2" => Ok(Self::ExplicitBig),
            "1.2.840.10008.1.2.1.99" => Ok(Self::Deflated),
            "1.2.840.10008.1.2.5" => Ok(Self::Rle),
            "1.2.840.10008.1.2.4.50"
            | "1.2.840.10008.1.2.4.51"
            | "1.2.840.10008.1.2.4.57"
            | "1.2.840.10008.1.2.4.70" => Ok(Self::Jpeg),
            "1.2.840.10008.1.2.4.80" | "1.2.840.10008.1.2.4.81" => Err(compressed("JPEG-LS")),
            "1.2.840.10008.1.2.4.90" | "1.2.840.10008.1.2.4.91" => Ok(Self::Jpeg2000),
            "1.2.840.10008.1.2.4.201" | "1.2.840.10008.1.2.4.202" | "1.2.840.10008.1.2.4.203" => {
                Err(compressed("HTJ2K"))
            }
            other => {
                let known = other
                    .bytes()
                    .all(|byte| byte == b'.' || byte.is_ascii_digit());
                let name = if known { other } else { "an unreadable name" };
                Err(compressed(name))
            }
        }
    }

    /// Whether the elements are of explicit VR, little-endian, in the file itself.
    pub(super) fn is_explicit_little(self) -> bool {
        !matches!(
            self,
            Self::ImplicitLittle | Self::ExplicitBig | Self::Deflated
        )
    }

    pub(super) fn is_big_endian(self) -> bool {
        self == Self::ExplicitBig
    }

    /// How the elements are encoded: with compressed pixels, always as explicit little-endian.
    pub(super) fn encoding(self) -> TransferSyntax {
        match self {
            Self::ImplicitLittle => entries::IMPLICIT_VR_LITTLE_ENDIAN.erased(),
            Self::ExplicitBig => entries::EXPLICIT_VR_BIG_ENDIAN.erased(),
            Self::ExplicitLittle | Self::Deflated | Self::Rle | Self::Jpeg | Self::Jpeg2000 => {
                entries::EXPLICIT_VR_LITTLE_ENDIAN.erased()
            }
        }
    }
}

fn compressed(name: &str) -> FileError {
    FileError::Syntax {
        name: name.to_owned(),
    }
}
