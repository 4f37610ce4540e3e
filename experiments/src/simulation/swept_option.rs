//! `--sweep OPTION=VALUES`, as it is typed.

use std::str::FromStr;

/// `--sweep`: an option without its dashes, and its values in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SweptOption {
    /// Of the option.
    pub name: String,
    /// Each once.
    pub values: Vec<String>,
}

/// Why a text is no [`SweptOption`].
#[derive(Debug, thiserror::Error)]
#[error(
    "'{0}' is not OPTION=VALUES, such as seed=1..10 or strategy=fedavg,fedadam, each value once"
)]
pub struct NotSwept(String);

impl FromStr for SweptOption {
    type Err = NotSwept;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused = || NotSwept(text.to_owned());
        let (name, values) = text.split_once('=').ok_or_else(refused)?;
        let is_number = |text: &str| text.starts_with(|sign: char| sign.is_ascii_digit());
        let range = values.split_once("..");
        let values = match range.filter(|(first, _)| is_number(first)) {
            Some((first, last)) => {
                let [first, last] = [first, last].map(str::parse::<u64>);
                let (first, last) = first.ok().zip(last.ok()).ok_or_else(refused)?;
                if first > last || last - first >= MOST as u64 {
                    return Err(refused());
                }
                (first..=last).map(|value| value.to_string()).collect()
            }
            None => values.split(',').map(str::to_owned).collect::<Vec<_>>(),
        };
        let repeated = (1..values.len()).any(|place| values[..place].contains(&values[place]));
        if name.is_empty() || repeated || values.iter().any(String::is_empty) {
            return Err(refused());
        }
        Ok(Self {
            name: name.trim_start_matches("--").to_owned(),
            values,
        })
    }
}

/// Slurm's default for an array (`MaxArraySize` is 1001).
pub const MOST: usize = 1000;
