//! Names of numbers, texts, settings and runs: they become names of files, so little is allowed in them.

use std::{fmt, str::FromStr};

/// A name of letters, digits, `_`, `-` and `.`, in parts with `/` between them: `validation/loss`. A part does not begin with `.` or
/// `-`, so none is `..`; the whole has at most 200 bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name(String);

impl Name {
    /// As it was read.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The same in one part, for a folder.
    pub(crate) fn flat(&self) -> String {
        self.0.replace('/', "-")
    }
}

impl FromStr for Name {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        let allowed = |sign: char| sign.is_ascii_alphanumeric() || "_-.".contains(sign);
        let is_part = |part: &str| {
            !part.is_empty() && !part.starts_with(['.', '-']) && part.chars().all(allowed)
        };
        if text.len() > MAX_BYTES || !text.split('/').all(is_part) {
            let text = text.chars().take(MAX_BYTES).collect();
            return Err(BadName { text });
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Below the 250 of MLflow, so that a part is a file's name with something behind it.
const MAX_BYTES: usize = 200;

/// A text that is no name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is no name for a log: letters, digits, `_`, `-` and `.`, in parts with `/` between them, at most {MAX_BYTES} bytes", text.escape_debug())]
pub struct BadName {
    /// Its beginning.
    pub text: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_leaves_no_folder_and_has_no_sign_of_a_shell() {
        for good in [
            "loss",
            "validation/loss",
            "hospital_3.v2/a-b",
            &"x".repeat(200),
        ] {
            assert_eq!(
                good.parse::<Name>().map(|name| name.to_string()),
                Ok(good.to_owned())
            );
        }
        for bad in [
            "",
            "/",
            "/etc/passwd",
            "a//b",
            "a/",
            "..",
            "a/../b",
            ".hidden",
            "-rf",
            "a b",
            "a\\b",
            "a\nb",
            "ä",
            &"x".repeat(201),
        ] {
            assert!(bad.parse::<Name>().is_err(), "{bad}");
        }
        assert_eq!("a/b".parse::<Name>().expect("good").flat(), "a-b");
    }
}
