//! `experiments phantom`.

use std::path::PathBuf;

use anyhow::anyhow;
use clap::Args;
use host::{failure::Failure, output::place_to_write};
use phantom::{PhantomSettings, ms60_tree::FreePlace};
use protocol::{counted::counted, labels::Task};

use crate::{
    phantom_name::PhantomName,
    simulation::{Progress, deal_equally, phantom_seed},
    stopping::Stopping,
};

/// Writes a phantom cohort in MS60 layout, one part for each hospital: DIR/hospital-K/data.
///
/// If DIR is the folder of a demo federation (`coordinator init --demo`), its hospitals then have data to train on.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct PhantomOptions {
    /// The folder to write into: that of a demo federation, or any other
    #[arg(value_name = "DIR", value_parser = place_to_write())]
    pub folder: PathBuf,
    /// The number of hospitals, from 1 to 100
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=100))]
    pub hospitals: u8,
    /// The number of patients, over all hospitals
    #[arg(long, value_name = "P", default_value_t = 120)]
    pub patients: usize,
    /// The number of slices of each scan
    #[arg(long, value_name = "S", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=512))]
    pub slices: u16,
    /// What images and features show of the disability
    #[arg(long, value_enum, value_name = "KIND", default_value_t)]
    pub phantom: PhantomName,
    /// The classes of which every hospital gets its share
    #[arg(long, value_enum, default_value_t)]
    pub task: Task,
    /// The same seed gives the same files, and the same patients as `simulate` with that seed
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

impl PhantomOptions {
    /// Writes the files.
    ///
    /// # Errors
    /// [`Failure`]: too few patients, data that is there already, a folder that cannot be written.
    pub fn execute(&self) -> Result<(), Failure> {
        let stopping = Stopping::listen().map_err(Failure::run)?;
        let hospitals = usize::from(self.hospitals);
        if self.patients < hospitals {
            return Err(Failure::Settings(anyhow!(
                "--patients {} is fewer than --hospitals {hospitals}: every hospital needs one",
                self.patients
            )));
        }
        let is_new = !self.folder.exists();
        let place = stopping.makes(
            || FreePlace::find(&self.folder, hospitals),
            |place| {
                let made = is_new.then(|| self.folder.clone());
                Some((place.workshop().to_owned(), made))
            },
        );
        let place = place.map_err(Failure::settings)?;
        let settings = PhantomSettings {
            patients: self.patients,
            slices_per_patient: usize::from(self.slices),
            kind: self.phantom.kind(),
            seed: phantom_seed(self.seed),
        };
        let task = self.task;
        let classes: Vec<usize> = (0..self.patients)
            .map(|index| {
                task.class_of(
                    phantom::draw_clinical(&settings, index).edss,
                    Default::default(),
                )
            })
            .collect();
        let parts = deal_equally(&classes, hospitals, self.seed);
        let progress = Progress::new();
        let stage = progress.stage("writing phantom patients", self.patients);
        let trees = place.write(&settings, &parts, || stage.step());
        let trees = trees.map_err(Failure::run)?;
        drop(stage);
        for (tree, part) in trees.iter().zip(&parts) {
            let patients = counted(part.len(), ["patient", "patients"]);
            progress.line(format!("{patients} in {}", tree.display()));
        }
        Ok(())
    }
}

const EXAMPLES: &str = "\
Example:
  coordinator init --demo 3 demo
  experiments phantom demo --hospitals 3";
