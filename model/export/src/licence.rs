//! What the weights may be used under, as whoever owns them says.

use std::str::FromStr;

/// A licence by name: an SPDX expression such as `CC-BY-4.0`, or a few words of one's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Licence(String);

impl Licence {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Not a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected an SPDX expression such as CC-BY-4.0, or other words: 1 to {MAX_CHARS} letters, digits, spaces and . , : / + - _ ( )"
)]
pub struct NoLicence;

impl FromStr for Licence {
    type Err = NoLicence;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let name = text.trim();
        let is_fit = |letter: char| letter.is_alphanumeric() || " .,:/+-_()".contains(letter);
        let has_letter = name.chars().any(char::is_alphabetic);
        if has_letter && name.chars().count() <= MAX_CHARS && name.chars().all(is_fit) {
            Ok(Self(name.to_owned()))
        } else {
            Err(NoLicence)
        }
    }
}

const MAX_CHARS: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_and_words_are_names_and_what_would_break_a_file_is_none() {
        for name in [
            "CC-BY-4.0",
            "Apache-2.0 OR MIT",
            "(LGPL-2.1-or-later WITH GCC-exception-3.1)",
            "nur für Forschung: fragen Sie uns",
        ] {
            assert_eq!(format!(" {name} ").parse(), Ok(Licence(name.to_owned())));
        }
        let long = "x".repeat(MAX_CHARS + 1);
        for wrong in [
            "",
            " ",
            "4.0",
            "two\nlines",
            "a\u{1b}[2J",
            "a\"b",
            "a#b",
            &long,
        ] {
            assert_eq!(wrong.parse::<Licence>(), Err(NoLicence), "{wrong:?}");
        }
    }
}
