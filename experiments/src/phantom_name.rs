//! `--phantom`, of every command that makes one.

use clap::ValueEnum;
use phantom::PhantomKind;
use serde::{Deserialize, Serialize};

use crate::as_typed::shown_as_typed;

/// `--phantom`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum PhantomName {
    /// The images show the disability nearly by themselves, so that learning is visible in minutes.
    #[default]
    Teaching,
    /// Images and features show as little of it as those of real patients.
    Realistic,
    /// Images and features each show half, and not the same half.
    Informative,
}

impl PhantomName {
    /// The library's word for the option.
    pub fn kind(self) -> PhantomKind {
        match self {
            Self::Teaching => PhantomKind::Teaching,
            Self::Realistic => PhantomKind::Realistic,
            Self::Informative => PhantomKind::Informative,
        }
    }
}

shown_as_typed!(PhantomName);
