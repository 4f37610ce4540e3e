//! `--profile`, of every command that encrypts.

use clap::ValueEnum;
use crypto::ckks::Profile;
use serde::{Deserialize, Serialize};

use crate::as_typed::shown_as_typed;

/// `--profile`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum ProfileName {
    /// The default of a federation, with a larger security margin.
    #[default]
    Hardened,
    /// Those of the published study.
    Study,
}

impl ProfileName {
    /// The library's word for the option.
    pub fn profile(self) -> Profile {
        match self {
            Self::Hardened => Profile::Hardened,
            Self::Study => Profile::Study,
        }
    }
}

shown_as_typed!(ProfileName);
