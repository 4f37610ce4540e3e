//! Which options of a command were typed, and how: what a simulation keeps of its options, so that it can go on with the same, and
//! what a script for other machines repeats.

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use clap::{ArgMatches, Args, Command, FromArgMatches, parser::ValueSource};
use serde::{Deserialize, Serialize};

use crate::{made::last_name, shell_words::in_command};

/// A command's options `O` as they were typed.
#[derive(Clone, Debug)]
pub struct Typed<O> {
    /// What was meant, with the defaults.
    pub options: O,
    /// What was typed.
    pub typed: TypedOptions,
}

/// The options that were typed: `--rounds` with `["2"]`, a flag with nothing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TypedOptions(BTreeMap<String, Vec<String>>);

impl TypedOptions {
    fn of<O: Args>(matches: &ArgMatches) -> Self {
        let mut typed = BTreeMap::new();
        for argument in grammar::<O>().get_arguments() {
            let Some(name) = argument
                .get_long()
                .filter(|name| !OF_ONE_START.contains(name))
            else {
                continue;
            };
            let id = argument.get_id().as_str();
            if matches.value_source(id) != Some(ValueSource::CommandLine) {
                continue;
            }
            let values = argument.get_action().takes_values().then(|| {
                let values = matches.get_raw(id).into_iter().flatten();
                values.map(|value| value.to_string_lossy().into_owned())
            });
            let values = values.into_iter().flatten().collect();
            typed.insert(format!("--{name}"), values);
        }
        Self(typed)
    }

    /// As words of a command line, `--rounds=2`.
    pub fn words(&self) -> impl Iterator<Item = String> {
        self.0.iter().flat_map(|(name, values)| {
            let flag = values.is_empty().then(|| name.clone());
            let valued = values.iter().map(move |value| format!("{name}={value}"));
            flag.into_iter().chain(valued)
        })
    }

    /// The values that were typed for an option, which is forgotten; none if it was not typed.
    pub fn take(&mut self, name: &str) -> Option<Vec<String>> {
        self.0.remove(name)
    }

    /// As if the option had been typed with this value alone.
    pub fn put(&mut self, name: &str, value: &str) {
        self.0.insert(name.to_owned(), vec![value.to_owned()]);
    }

    /// Whether the option was typed.
    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// `simulate` as it was typed, of each path the last name alone: for results, which are made to be shared.
    pub fn command_line(&self) -> String {
        let words = self.0.iter().flat_map(|(name, values)| {
            let values = values.iter().map(|value| in_command(&last_name(value)));
            std::iter::once(name.clone()).chain(values)
        });
        let start = ["experiments", "simulate"].map(str::to_owned);
        let words: Vec<String> = start.into_iter().chain(words).collect();
        words.join(" ")
    }

    /// The options that these words mean.
    ///
    /// # Errors
    /// Words that are no options of this program.
    pub fn meant<O: Args>(&self) -> anyhow::Result<O> {
        let options = O::from_arg_matches(&self.matches::<O>()?);
        options.context("an option cannot be read")
    }

    /// That none of `again`, typed to go on with the run that was begun with these, asks for something else.
    ///
    /// # Errors
    /// The first option that does, with both values.
    pub fn check_same<O: Args>(&self, again: &Self) -> anyhow::Result<()> {
        let matches = self.matches::<O>()?;
        for argument in grammar::<O>().get_arguments() {
            let Some(name) = argument.get_long().map(|name| format!("--{name}")) else {
                continue;
            };
            let Some(now) = again.0.get(&name) else {
                continue;
            };
            let before: Vec<String> = match self.0.get(&name) {
                Some(before) => before.clone(),
                None if argument.get_action().takes_values() => {
                    let default = matches.get_raw(argument.get_id().as_str());
                    let default = default.into_iter().flatten();
                    default
                        .map(|value| value.to_string_lossy().into_owned())
                        .collect()
                }
                None => vec!["not given".to_owned()],
            };
            if before != *now {
                bail!(
                    "{name} was {}, now {}; leave it out, or begin another simulation with another --out",
                    in_words(&before),
                    in_words(now)
                );
            }
        }
        Ok(())
    }

    fn matches<O: Args>(&self) -> anyhow::Result<ArgMatches> {
        let words = std::iter::once(COMMAND.to_owned()).chain(self.words());
        let matches = grammar::<O>().try_get_matches_from(words);
        matches.context("an option is not one of this program")
    }
}

impl<O: Args> FromArgMatches for Typed<O> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Ok(Self {
            typed: TypedOptions::of::<O>(matches),
            options: O::from_arg_matches(matches)?,
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl<O: Args> Args for Typed<O> {
    fn augment_args(command: Command) -> Command {
        O::augment_args(command)
    }

    fn augment_args_for_update(command: Command) -> Command {
        O::augment_args_for_update(command)
    }
}

/// The options of a command.
pub fn grammar<O: Args>() -> Command {
    O::augment_args(Command::new(COMMAND))
}

fn in_words(values: &[String]) -> String {
    match values {
        [] => "given".to_owned(),
        values => values.join(" and "),
    }
}

/// A command line begins with a name, which nobody looks at here.
const COMMAND: &str = "command";

/// These say where a run is, which part of it is done and how it is shown, not what it is.
pub const OF_ONE_START: [&str; 10] = [
    "format",
    "trace",
    "out",
    "resume",
    "shard",
    "list",
    "tables-only",
    "slurm-script",
    "shards",
    "sweep",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulation::SimulateOptions;

    fn typed(words: &[&str]) -> TypedOptions {
        let words = [COMMAND].iter().chain(words);
        TypedOptions::of::<SimulateOptions>(&grammar::<SimulateOptions>().get_matches_from(words))
    }

    #[test]
    fn what_was_typed_means_the_same_again() {
        let words = [
            "--rounds",
            "3",
            "--strict",
            "--drop",
            "2@before-upload:1",
            "--drop",
            "1@after-upload:2",
            "--out",
            "there",
        ];
        let kept = typed(&words);
        let text = serde_json::to_string(&kept).expect("JSON");
        let kept: TypedOptions = serde_json::from_str(&text).expect("read back");
        let options: SimulateOptions = kept.meant().expect("options");
        assert_eq!(
            (options.rounds, options.strict, options.drop.len()),
            (3, true, 2)
        );
        assert_eq!((options.hospitals, options.out), (3, None));
        let unknown = TypedOptions([("--colour".to_owned(), vec![])].into());
        assert!(unknown.meant::<SimulateOptions>().is_err());
    }

    #[test]
    fn an_option_that_asks_for_something_else_is_named_with_both_values() {
        let kept = typed(&["--rounds", "3"]);
        for same in [
            &[][..],
            &["--rounds", "3"],
            &["--hospitals", "3", "--resume", "x"],
        ] {
            kept.check_same::<SimulateOptions>(&typed(same))
                .expect("the same");
        }
        for (other, words) in [
            (&["--rounds", "4"][..], "--rounds was 3, now 4"),
            (&["--hospitals", "4"], "--hospitals was 3, now 4"),
            (&["--strict"], "--strict was not given, now given"),
        ] {
            let error = kept
                .check_same::<SimulateOptions>(&typed(other))
                .expect_err("another");
            assert!(error.to_string().contains(words), "{error}");
        }
    }
}
