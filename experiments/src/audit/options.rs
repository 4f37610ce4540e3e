//! The options of `experiments audit`.

use std::path::PathBuf;

use clap::Args;
use host::{output::place_to_write, shown::Format};

use super::{attacks::NUMBERS, effort::Effort};

/// Attacks every claim of docs/THREATS.md with this project's own code, and says what each attack gets.
///
/// Each attack first runs as a control, with the protection taken away: there it must win, or it says nothing. Then it runs against
/// the protection. The exit code is 1 if a control does not win, or if more is learnt than docs/THREATS.md says. A leak that the
/// document states is told as a leak, and does not fail.
///
/// All of it takes about an hour on two cores, --quick a few minutes. The table goes to stdout, and the output folder has report.html
/// and audit.md, for people, and audit.json. All patients are made up.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct AuditOptions {
    /// Fewer and smaller trials: a check that attacks and protections still do what they did, without exact numbers
    #[arg(long)]
    pub quick: bool,
    /// Only the attacks with these numbers, separated by commas:
    /// 1 filters and shifts, 2 CKKS messages, 3 one upload of a sum, 4 one plain update (dense layer), 5 successive models,
    /// 6 sums of few hospitals, 7 membership, 8 one plain update (images) [default: all]
    #[arg(long, value_name = "N", value_delimiter = ',', value_parser = clap::value_parser!(u8).range(NUMBERS))]
    pub only: Vec<u8>,
    /// The same seed gives the same numbers on the same machine
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// What goes to stdout at the end: the table for people, or the object of audit.json on one line
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
    /// The output folder; it must not exist yet, or be empty, or hold an earlier audit, which is replaced [default: runs/audit]
    #[arg(short, long, visible_alias = "output", value_name = "DIR", value_parser = place_to_write())]
    pub out: Option<PathBuf>,
}

impl AuditOptions {
    /// How much is done.
    pub fn effort(&self) -> Effort {
        match self.quick {
            true => Effort::Quick,
            false => Effort::Whole,
        }
    }

    /// Whether the attack of this number is wanted.
    pub fn wants(&self, number: u8) -> bool {
        self.only.is_empty() || self.only.contains(&number)
    }

    /// `--out`, or where an audit goes without it.
    pub fn out_folder(&self) -> PathBuf {
        let default = || PathBuf::from("runs/audit");
        self.out.clone().unwrap_or_else(default)
    }

    /// The command, without the folder: for results, which are made to be shared.
    pub fn command_line(&self) -> String {
        let mut words = vec!["experiments audit".to_owned()];
        if self.quick {
            words.push("--quick".to_owned());
        }
        if !self.only.is_empty() {
            let numbers: Vec<String> = self.only.iter().map(u8::to_string).collect();
            words.push(format!("--only {}", numbers.join(",")));
        }
        words.push(format!("--seed {}", self.seed));
        words.join(" ")
    }
}

const EXAMPLES: &str = "\
Examples:
  experiments audit --quick
  experiments audit --out runs/audit-2 --seed 2
  experiments audit --only 3,5";
