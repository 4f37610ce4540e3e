//! A part of the trainings, for one of several processes.

use std::{fmt, str::FromStr};

/// `--shard I/N`: part I of N, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    number: usize,
    of: usize,
}

/// Why a text is no [`Shard`].
#[derive(Debug, thiserror::Error)]
#[error("'{0}' is not I/N, part I of N, such as 2/8; I is from 1 to N, N at most {MOST}")]
pub struct NotAShard(String);

impl FromStr for Shard {
    type Err = NotAShard;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let numbers = text.split_once('/').and_then(|(number, of)| {
            let (number, of) = (number.parse().ok()?, of.parse().ok()?);
            let fits = (1..=of).contains(&number) && of <= MOST;
            fits.then_some(Self { number, of })
        });
        numbers.ok_or_else(|| NotAShard(text.to_owned()))
    }
}

/// As it is typed.
impl fmt::Display for Shard {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.number, self.of)
    }
}

impl Shard {
    /// Which part, from 1, and of how many.
    pub fn numbers(self) -> (usize, usize) {
        (self.number, self.of)
    }

    /// Whether the training at this place of the list, from 0, is of this part.
    ///
    /// The list is dealt out, N trainings at a time, each time beginning one part further on: it goes through the networks in turn,
    /// and else one part of three would have all of the slowest.
    pub fn has(self, place: usize) -> bool {
        (place + place / self.of) % self.of + 1 == self.number
    }
}

/// More than any cluster's array, and few enough to be told apart from a slip.
const MOST: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_is_read_as_it_is_typed() {
        assert_eq!("3/8".parse::<Shard>().expect("fine").to_string(), "3/8");
        for text in [
            "",
            "3",
            "0/8",
            "9/8",
            "1/0",
            "1/8/2",
            "-1/8",
            "a/b",
            "1/99999999999999999999",
            "1/10001",
        ] {
            let refused = text.parse::<Shard>().expect_err(text).to_string();
            assert!(refused.contains("2/8"), "{refused}");
        }
    }
}
