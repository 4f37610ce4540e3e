//! `coordinator init`.

use std::{net::SocketAddr, path::PathBuf};

use clap::Args;
use coordinator::trial::{Place, Trial};
use host::{failure::Failure, output::say};

/// Makes a federation to try out on one machine: keys, certificates and settings, a folder for each party.
///
/// Makes every party's keys in one place, which is for trying out only: in earnest each hospital makes its own, and nobody else
/// ever sees them.
#[derive(Args)]
pub struct Init {
    /// How many hospitals, 2 to 127.
    #[arg(long, value_name = "HOSPITALS")]
    trial: u8,

    /// A folder that is empty or does not exist yet.
    directory: PathBuf,

    /// The UDP address at which the coordinator will listen.
    #[arg(long, value_name = "ADDRESS", default_value_t = Place::default().listen)]
    listen: SocketAddr,

    /// A DNS name or IP address under which hospitals reach the coordinator, for its certificate. May be given several times;
    /// hospitals look for the first.
    #[arg(long = "server-name", value_name = "NAME", default_values_t = Place::default().server_names)]
    server_names: Vec<String>,
}

impl Init {
    /// Writes the folders and says what to do next.
    pub fn execute(self) -> Result<(), Failure> {
        let place = Place {
            listen: self.listen,
            server_names: self.server_names,
        };
        let trial = Trial::generate(self.trial, place).map_err(Failure::settings)?;
        trial.write(&self.directory).map_err(Failure::settings)?;
        let directory = self.directory.display();
        say(format_args!(
            "a federation of {} hospitals is in {directory}; next:",
            self.trial
        ));
        say(format_args!(
            "  coordinator serve --config {directory}/coordinator/coordinator.toml"
        ));
        for hospital in trial.hospitals.keys() {
            say(format_args!(
                "  participant run --config {directory}/hospital-{hospital}/participant.toml"
            ));
        }
        say(
            "each hospital needs a data set first: put one into its folder `data`, or set `data` in its participant.toml",
        );
        Ok(())
    }
}
