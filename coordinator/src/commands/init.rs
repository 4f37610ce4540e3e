//! `coordinator init`.

use std::{net::SocketAddr, path::PathBuf};

use clap::Args;
use coordinator::demo::{Demo, Place};
use host::{failure::Failure, output::say};

/// Makes a federation for a demonstration on one machine: keys, certificates and settings, one folder for each party.
///
/// It makes the keys of all parties in one place. This is for a demonstration only: in production each hospital makes its own
/// keys, and nobody else ever sees them.
#[derive(Args)]
pub struct Init {
    /// The number of hospitals, from 2 to 127.
    #[arg(long, value_name = "HOSPITALS", visible_alias = "trial")]
    demo: u8,

    /// The folder to write. It must be empty or not exist yet.
    directory: PathBuf,

    /// The UDP address at which the coordinator will listen.
    #[arg(long, value_name = "ADDRESS", default_value_t = Place::default().listen)]
    listen: SocketAddr,

    /// A DNS name or IP address under which the hospitals reach the coordinator, for its certificate. May be given several
    /// times; the hospitals' settings name the first one.
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
        let demo = Demo::generate(self.demo, place).map_err(Failure::settings)?;
        demo.write(&self.directory).map_err(Failure::settings)?;
        let directory = self.directory.display();
        say(format_args!(
            "wrote a federation of {} hospitals into {directory}. To run it:",
            self.demo
        ));
        say(format_args!(
            "  coordinator serve --config {directory}/coordinator/coordinator.toml"
        ));
        for hospital in demo.hospitals.keys() {
            say(format_args!(
                "  participant run --config {directory}/hospital-{hospital}/participant.toml"
            ));
        }
        say(
            "First give each hospital a data set: put one into its folder `data`, or set `data` in its participant.toml.",
        );
        Ok(())
    }
}
