//! What a model can be exported to, and the words for it on a command line.

use std::{collections::BTreeSet, str::FromStr};

/// A kind of file that other tools read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Format {
    /// `model.onnx`: the network as a graph with its weights, for ONNX Runtime and what reads the same.
    Onnx,
    /// `monai/`: a bundle that `python -m monai.bundle run` runs.
    Monai,
    /// `huggingface/`: a folder to upload to a hub of models, with a model card as its README.
    HuggingFace,
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 3] = [Self::Onnx, Self::Monai, Self::HuggingFace];

    /// Its word: `onnx`, `monai` or `huggingface`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Onnx => "onnx",
            Self::Monai => "monai",
            Self::HuggingFace => "huggingface",
        }
    }

    /// Reads words with commas between them, such as `onnx,monai`. A format that is named twice is there once.
    ///
    /// # Errors
    /// A word that is no format, also where there is none.
    pub fn parse_list(text: &str) -> Result<Vec<Self>, UnknownFormat> {
        let formats: BTreeSet<Self> = text.split(',').map(str::parse).collect::<Result<_, _>>()?;
        Ok(formats.into_iter().collect())
    }
}

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(word: &str) -> Result<Self, UnknownFormat> {
        let word = word.trim();
        let known = Self::ALL.into_iter().find(|format| format.word() == word);
        known.ok_or_else(|| UnknownFormat { word: word.into() })
    }
}

/// A word that is no format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "there is no format `{word}`; there are onnx, monai and huggingface, with commas between them"
)]
pub struct UnknownFormat {
    /// The word.
    pub word: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_read_from_words_with_commas() {
        let all = Format::parse_list("onnx, monai,huggingface,onnx");
        assert_eq!(all.as_deref(), Ok(Format::ALL.as_slice()));
        for format in Format::ALL {
            assert_eq!(Format::parse_list(format.word()), Ok(vec![format]));
        }
        for (text, word) in [
            ("", ""),
            ("onnx,", ""),
            ("onnx,torch", "torch"),
            ("ONNX", "ONNX"),
        ] {
            let error = Format::parse_list(text).expect_err("no format");
            assert_eq!(error.word, word);
        }
        let error = Format::parse_list("x").expect_err("no format").to_string();
        assert!(
            Format::ALL
                .iter()
                .all(|format| error.contains(format.word()))
        );
    }
}
