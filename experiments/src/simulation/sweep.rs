//! A sweep: simulations that differ in some options, one for each combination of their values.

use anyhow::{Context, bail};

use super::{
    options::SimulateOptions,
    swept_option::{MOST, SweptOption},
};
use crate::typed_options::{OF_ONE_START, TypedOptions, grammar};

/// One simulation of a sweep.
#[derive(Debug)]
pub struct Combination {
    /// Of its folder: `seed-1-strategy-fedavg`.
    pub name: String,
    /// The words that it has beside those that all have.
    pub words: Vec<String>,
    /// All of its options.
    pub typed: TypedOptions,
}

/// Every combination, the last option changing fastest.
///
/// # Errors
/// An option that cannot be swept, or is typed as well; more combinations than an array has tasks.
pub fn combinations(
    swept: &[SweptOption],
    typed: &TypedOptions,
) -> anyhow::Result<Vec<Combination>> {
    let grammar = grammar::<SimulateOptions>();
    for (place, SweptOption { name, .. }) in swept.iter().enumerate() {
        let known = grammar.get_arguments().any(|argument| {
            argument.get_long() == Some(name.as_str()) && argument.get_action().takes_values()
        });
        if !known || OF_ONE_START.contains(&name.as_str()) || name == THREADS {
            bail!(
                "--sweep {name}: there is no option --{name} that a sweep can vary; experiments simulate --help lists the options"
            );
        }
        let twice = swept[..place].iter().any(|other| other.name == *name);
        if twice || typed.has(&format!("--{name}")) {
            bail!("--sweep {name}: --{name} is given twice; name it once, with all its values");
        }
    }
    let count = swept.iter().try_fold(1_usize, |count, option| {
        count.checked_mul(option.values.len())
    });
    if count.is_none_or(|count| count > MOST) {
        bail!(
            "--sweep: there are more than {MOST} combinations, which is what a job array has at most; make several sweeps of it"
        );
    }
    let mut combinations = vec![Combination {
        name: String::new(),
        words: Vec::new(),
        typed: typed.clone(),
    }];
    for SweptOption { name, values } in swept {
        let with = |before: &Combination, value: &String| {
            let dash = if before.name.is_empty() { "" } else { "-" };
            let mut typed = before.typed.clone();
            typed.put(&format!("--{name}"), value);
            Combination {
                name: format!("{}{dash}{name}-{}", before.name, of_a_file(value)),
                words: [&before.words[..], &[format!("--{name}={value}")]].concat(),
                typed,
            }
        };
        combinations = combinations
            .iter()
            .flat_map(|before| values.iter().map(move |value| with(before, value)))
            .collect();
    }
    for (place, one) in combinations.iter().enumerate() {
        if combinations[..place]
            .iter()
            .any(|other| other.name == one.name)
        {
            bail!(
                "--sweep: two combinations would have the folder {}; make two sweeps of it",
                one.name
            );
        }
        let options: anyhow::Result<SimulateOptions> = one.typed.meant();
        options.with_context(|| format!("--sweep: {}", one.words.join(" ")))?;
    }
    Ok(combinations)
}

/// As part of a file's name.
fn of_a_file(value: &str) -> String {
    let plain = |character: char| character.is_ascii_alphanumeric() || ".-".contains(character);
    value
        .chars()
        .map(|character| if plain(character) { character } else { '_' })
        .collect()
}

/// These are the cores of a task, and change no result.
const THREADS: &str = "threads";

#[cfg(test)]
mod tests {
    use super::*;

    fn swept(texts: &[&str]) -> Vec<SweptOption> {
        texts
            .iter()
            .map(|text| text.parse().expect("fine"))
            .collect()
    }

    #[test]
    fn every_combination_has_its_words_and_a_folder_of_its_own() {
        let typed = TypedOptions::default();
        let all = combinations(
            &swept(&["seed=9..11", "strategy=fedavg,fedprox:0.5"]),
            &typed,
        )
        .expect("fine");
        let names: Vec<&str> = all.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(
            names[..3],
            [
                "seed-9-strategy-fedavg",
                "seed-9-strategy-fedprox_0.5",
                "seed-10-strategy-fedavg"
            ]
        );
        assert_eq!(names.len(), 6);
        assert_eq!(all[1].words, ["--seed=9", "--strategy=fedprox:0.5"]);
        assert_eq!(
            all[5].typed.meant::<SimulateOptions>().expect("fine").seed,
            11
        );
    }

    #[test]
    fn what_is_no_sweep_is_refused_by_name() {
        for text in [
            "seed",
            "seed=",
            "=1",
            "seed=1,1",
            "seed=3..1",
            "seed=1..x",
            "seed=1..2000",
            "seed=1,",
        ] {
            let refused = text.parse::<SweptOption>().expect_err(text).to_string();
            assert!(refused.contains(text), "{refused}");
        }
        let mut typed = TypedOptions::default();
        typed.put("--rounds", "3");
        for (texts, part) in [
            (&["colour=red"][..], "--colour"),
            (&["out=x"], "--out"),
            (&["strict=1"], "--strict"),
            (&["threads=1,2"], "--threads"),
            (&["rounds=1,2"], "given twice"),
            (&["seed=1", "seed=2"], "given twice"),
            (&["strategy=fedavg,sum"], "--strategy=sum"),
            (&["data=a:b,a_b"], "the folder data-a_b"),
            (&["seed=1..100", "hospitals=2..13"], "1000"),
        ] {
            let refused = combinations(&swept(texts), &typed).expect_err("refused");
            assert!(format!("{refused:#}").contains(part), "{refused:#}");
        }
    }
}
