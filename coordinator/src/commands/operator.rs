//! `coordinator operator`.

use std::{fs, path::PathBuf};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use getrandom::{SysRng, rand_core::UnwrapErr};
use host::{failure::Failure, key_files::write_private, output::say};
use protocol::identity::SigningKey;
use zeroize::Zeroizing;

/// The operator's own key, which signs runs. It belongs to a person, not to the coordinator's machine.
#[derive(Args)]
pub struct Operator {
    #[command(subcommand)]
    command: OperatorCommand,
}

#[derive(Subcommand)]
enum OperatorCommand {
    Init(Init),
}

/// Makes the operator's key: the private half in DIR/operator.key, for its owner alone, the public half in DIR/operator.pub.
///
/// The public half goes into the roster (`operator_key`). Keep the private one where you sign runs (`coordinator run sign`); the
/// coordinator does not need it.
#[derive(Args)]
struct Init {
    /// The folder to write into; it is made if it does not exist. A key that is there already is never replaced.
    directory: PathBuf,
}

impl Operator {
    /// Runs the command.
    pub fn execute(self) -> Result<(), Failure> {
        match self.command {
            OperatorCommand::Init(init) => init.execute(),
        }
    }
}

impl Init {
    fn execute(self) -> Result<(), Failure> {
        let directory = &self.directory;
        fs::create_dir_all(directory)
            .with_context(|| format!("cannot make the folder {}", directory.display()))
            .map_err(Failure::Settings)?;
        let key = SigningKey::generate(&mut UnwrapErr(SysRng));
        let (private, public) = (
            directory.join("operator.key"),
            directory.join("operator.pub"),
        );
        let digits = Zeroizing::new(hex::encode(key.to_secret_bytes()));
        write_private(&private, digits.as_bytes())
            .with_context(|| {
                format!(
                    "cannot write {}; a key that exists is kept",
                    private.display()
                )
            })
            .map_err(Failure::Settings)?;
        let digits = hex::encode(key.public().0);
        fs::write(&public, format!("{digits}\n"))
            .with_context(|| format!("cannot write {}", public.display()))
            .map_err(Failure::Settings)?;
        say(format_args!(
            "wrote the operator's key to {}: keep it to yourself. Its public half, for the roster:",
            private.display()
        ));
        say(digits);
        Ok(())
    }
}
