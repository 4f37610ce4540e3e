//! Kinds of MR images.

use std::{fmt, str::FromStr};

/// A kind of MR image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Contrast {
    /// Fluid-attenuated inversion recovery, on which lesions are bright and fluid is dark.
    Flair,
    /// T1-weighted.
    T1,
    /// T2-weighted.
    T2,
}

impl Contrast {
    /// Every contrast.
    pub const ALL: [Self; 3] = [Self::Flair, Self::T1, Self::T2];

    /// Name in settings and on command lines: `flair`, `t1`, `t2`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Flair => "flair",
            Self::T1 => "t1",
            Self::T2 => "t2",
        }
    }

    /// Reads a list such as `flair,t1`, in its order.
    ///
    /// # Errors
    /// An empty list, a name twice, an unknown name.
    pub fn list(text: &str) -> Result<Vec<Self>, ContrastError> {
        let mut contrasts = vec![];
        for name in text.split(',') {
            let contrast = name.parse()?;
            if contrasts.contains(&contrast) {
                return Err(ContrastError::Twice { contrast });
            }
            contrasts.push(contrast);
        }
        Ok(contrasts)
    }
}

impl FromStr for Contrast {
    type Err = ContrastError;

    fn from_str(name: &str) -> Result<Self, ContrastError> {
        let name = name.trim();
        let is_named = |contrast: &Self| contrast.name().eq_ignore_ascii_case(name);
        let found = Self::ALL.into_iter().find(is_named);
        found.ok_or_else(|| ContrastError::Unknown {
            name: name.to_owned(),
        })
    }
}

impl fmt::Display for Contrast {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a text is no list of contrasts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ContrastError {
    /// None of the names.
    #[error("'{name}' is no contrast: flair, t1 or t2")]
    Unknown {
        /// As given.
        name: String,
    },
    /// Its slices would count twice.
    #[error("{contrast} is named twice")]
    Twice {
        /// Which.
        contrast: Contrast,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_keep_their_order_and_hold_nothing_twice() {
        assert_eq!(
            Contrast::list("t2, FLAIR"),
            Ok(vec![Contrast::T2, Contrast::Flair])
        );
        let refused = |text: &str| Contrast::list(text).expect_err("refused").to_string();
        assert_eq!(refused("flair,t1,flair"), "flair is named twice");
        assert_eq!(refused("flair,pd"), "'pd' is no contrast: flair, t1 or t2");
        assert_eq!(refused(""), "'' is no contrast: flair, t1 or t2");
    }
}
