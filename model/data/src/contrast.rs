//! Kinds of MR images.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A kind of MR image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
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

    /// The contrast that a name such as "t2_tirm_tra_dark-fluid" stands for; `None` if it does not say, or names several.
    pub fn of_description(name: &str) -> Option<Self> {
        let name = name.to_lowercase();
        let any = |words: &[&str]| words.iter().any(|word| name.contains(word));
        if any(&["localizer", "localiser", "scout", "survey"]) || any(&ELSEWHERE) {
            return None;
        }
        let flair = any(&[
            "flair",
            "dark-fluid",
            "dark_fluid",
            "dark fluid",
            "darkfluid",
            "da-fl",
            "da_fl",
            "dark-fl",
            "dark_fl",
        ]);
        let t1 = any(&["t1", "mprage", "mp-rage", "mp_rage", "bravo", "spgr"]);
        // T2* shows blood and iron, and is another matter.
        let t2 = any(&["t2"]) && !any(&["t2*", "t2star", "t2_star", "t2 star", "swi", "swan"]);
        match (flair, t1, t2) {
            // An inversion recovery with T1 weighting is sold as "T1 FLAIR".
            (true, true, false) | (false, true, false) => Some(Self::T1),
            (true, _, _) => Some(Self::Flair),
            (false, false, true) => Some(Self::T2),
            (false, ..) => None,
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

/// In names of series that are not of the brain.
const ELSEWHERE: [&str; 8] = [
    "spine", "cervical", "thoracic", "lumbar", "wirbel", "myelon", "hws", "orbit",
];

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

    #[test]
    fn names_that_scanners_give_are_understood() {
        use Contrast::{Flair, T1, T2};
        for (name, contrast) in [
            ("FLAIR", Some(Flair)),
            ("t2_tirm_tra_dark-fluid", Some(Flair)),
            ("AX T2 FLAIR FS", Some(Flair)),
            ("3D Brain VIEW_FLAIR SHC", Some(Flair)),
            ("t2_spc_da-fl_sag_p2_iso", Some(Flair)),
            ("t2_tse_sag_cervical spine", None),
            ("Sag T1 FLAIR", Some(T1)),
            ("t1_mprage_sag_p2_iso", Some(T1)),
            ("T1w", Some(T1)),
            ("Ax FSPGR BRAVO", Some(T1)),
            ("T2W_TSE", Some(T2)),
            ("t2_fl2d_tra_hemo T2*", None),
            ("T1 and T2 map", None),
            ("localizer t1", None),
            ("ep2d_diff_3scan_trace", None),
            ("", None),
        ] {
            assert_eq!(Contrast::of_description(name), contrast, "{name}");
        }
    }
}
