//! `coordinator init`.

use std::{net::SocketAddr, path::PathBuf};

use anyhow::anyhow;
use clap::Args;
use coordinator::{
    demo::{Demo, Place},
    enrolment::NewCoordinator,
    settings,
};
use host::{
    failure::Failure,
    output::{place_to_write, say},
};

/// Makes a coordinator that hospitals can join, or a whole federation for a demonstration on one machine.
///
/// With --name: the coordinator's own keys, the authority that issues certificates, settings, and an empty list of members. Each
/// hospital makes its own keys (`coordinator invite`, `participant join`), and so does the operator (`coordinator operator init`).
///
/// With --demo: the keys of all parties, in one place, a folder for each party. For a demonstration only: in production nobody else
/// ever sees a hospital's keys.
#[derive(Args)]
pub struct Init {
    /// The number of hospitals of a demonstration, from 2 to 127.
    #[arg(long, value_name = "HOSPITALS", visible_alias = "trial", required_unless_present = "name", conflicts_with_all = ["name", "public"])]
    demo: Option<u8>,

    /// The name of the federation, for people: it stands in the authority's certificate.
    #[arg(long, requires = "public")]
    name: Option<String>,

    /// The folder to write. It must be empty or not exist yet.
    #[arg(value_parser = place_to_write())]
    directory: PathBuf,

    /// The UDP address at which the coordinator will listen.
    #[arg(long, value_name = "ADDRESS", default_value_t = Place::default().listen)]
    listen: SocketAddr,

    /// Where hospitals reach the coordinator, a DNS name or an IP address and a port: it stands in invitations, and its host in the
    /// coordinator's certificate.
    #[arg(long, value_name = "HOST:PORT")]
    public: Option<String>,

    /// For a demonstration: a DNS name or IP address under which the hospitals reach the coordinator, for its certificate. May be given
    /// several times; the hospitals' settings name the first one.
    #[arg(long = "server-name", value_name = "NAME", default_values_t = Place::default().server_names, conflicts_with = "name")]
    server_names: Vec<String>,
}

impl Init {
    /// Writes the folders and says what to do next.
    pub fn execute(self) -> Result<(), Failure> {
        match (self.demo, &self.name, &self.public) {
            (Some(hospitals), ..) => self.demonstrate(hospitals),
            (None, Some(name), Some(public)) => self.begin(name, public),
            // clap asks for one of the two.
            _ => Err(Failure::Settings(anyhow!(
                "give --name and --public, or --demo"
            ))),
        }
    }

    fn begin(&self, name: &str, public: &str) -> Result<(), Failure> {
        let coordinator = NewCoordinator {
            name: name.to_owned(),
            listen: self.listen,
            public: settings::checked_public(public).map_err(Failure::settings)?,
        };
        let directory = &self.directory;
        coordinator.write(directory).map_err(Failure::settings)?;
        let config = directory.join("coordinator.toml");
        let config = config.display();
        say(format_args!(
            "wrote the coordinator of {name:?} into {}. Next:",
            directory.display()
        ));
        say(
            "  coordinator operator init OPERATOR-FOLDER      where runs will be signed; no other machine needs that key",
        );
        say(format_args!("  coordinator serve --config {config}"));
        say(format_args!(
            "  coordinator invite HOSPITAL --config {config}      for each hospital"
        ));
        Ok(())
    }

    fn demonstrate(&self, hospitals: u8) -> Result<(), Failure> {
        let place = Place {
            listen: self.listen,
            server_names: self.server_names.clone(),
        };
        let demo = Demo::generate(hospitals, place).map_err(Failure::settings)?;
        demo.write(&self.directory).map_err(Failure::settings)?;
        let directory = self.directory.display();
        say(format_args!(
            "wrote a federation of {hospitals} hospitals into {directory}. To run it:"
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
