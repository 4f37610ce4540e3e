//! Options that do nothing, or not what one may think, and are no error.

use super::options::{ConditioningName, SimulateOptions};

/// About the weights that meet the clinical features.
pub fn of_conditioning(options: &SimulateOptions) -> Vec<String> {
    let &SimulateOptions {
        conditioning,
        conditioning_every: every,
        conditioning_rate: rate,
        rounds,
        ..
    } = options;
    if conditioning == ConditioningName::None {
        let given = [
            ("--conditioning-every", every != 1),
            ("--conditioning-rate", rate.is_some()),
        ];
        let without_meaning = given.into_iter().filter(|(_, given)| *given);
        return without_meaning
            .map(|(option, _)| {
                format!("{option} has no meaning with --conditioning none, which has no clinical features")
            })
            .collect();
    }
    let remark = format!(
        "--conditioning-every {every} is more than the {rounds} rounds of --rounds: the weights that meet the clinical features stay as \
         they start"
    );
    (every > rounds).then_some(remark).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        options: SimulateOptions,
    }

    #[test]
    fn what_does_nothing_is_said() {
        let of = |arguments: &[&str]| {
            let line = ["simulate"].iter().chain(arguments);
            of_conditioning(&Line::parse_from(line).options)
        };
        for fine in [
            &[][..],
            &["--conditioning-every", "8"],
            &["--conditioning", "none"],
        ] {
            assert_eq!(of(fine), [""; 0]);
        }
        let rare = of(&["--rounds", "3", "--conditioning-every", "4"]);
        assert!(
            rare.len() == 1 && rare[0].contains("stay as they start"),
            "{rare:?}"
        );
        let none = of(&[
            "--conditioning",
            "none",
            "--conditioning-every",
            "4",
            "--conditioning-rate",
            "1",
        ]);
        assert_eq!(none.len(), 2);
    }
}
