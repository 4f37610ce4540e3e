//! The patients of a reproduction: made or read.

use std::path::Path;

use model_data::{LoadOptions, Patient};
use phantom::PhantomSettings;

use super::configuration::Configuration;
use crate::simulation::{PlanError, Progress, account, phantom_seed, read_folder};

/// Makes or reads them; what was left out or is odd is said.
///
/// # Errors
/// Data that cannot be read.
pub fn patients(
    configuration: &Configuration,
    loading: &LoadOptions,
    progress: &Progress,
) -> anyhow::Result<Vec<Patient>> {
    if let (Some(patients), Some(slices)) = (configuration.patients, configuration.slices) {
        let settings = PhantomSettings {
            patients,
            slices_per_patient: slices,
            kind: configuration.phantom.unwrap_or_default().kind(),
            seed: phantom_seed(COHORT_SEED),
        };
        let stage = progress.stage("making phantom patients", patients);
        let contrasts = &configuration.contrasts;
        return Ok(phantom::cohort_in(contrasts, &settings, || stage.step()));
    }
    let folder = Path::new(&configuration.data);
    if !folder.is_dir() {
        let folder = folder.to_owned();
        return Err(PlanError::NoData { folder }.into());
    }
    let cohort = read_folder(folder, loading, progress)?;
    for line in account(&cohort) {
        progress.line(format!("data: {line}"));
    }
    Ok(cohort.patients)
}

/// The phantom is one cohort, as real data would be: repetitions differ in how it is split.
const COHORT_SEED: u64 = 1;

#[cfg(test)]
mod tests {
    use phantom::ms60_tree::FreePlace;

    use super::*;
    use crate::reproduce::options::ReproduceOptions;

    #[test]
    fn the_named_scans_of_a_phantom_and_of_a_folder_are_taken() {
        let settings = PhantomSettings {
            patients: 4,
            slices_per_patient: 2,
            seed: 5,
            ..PhantomSettings::default()
        };
        let root = tempfile::tempdir().expect("a folder");
        let everyone = [(0..4).collect()];
        let place = FreePlace::find(root.path(), 1).expect("free");
        let folders = place.write(&settings, &everyone, || ());
        let folder = folders.expect("written").remove(0);
        let phantom = ReproduceOptions {
            patients: Some(4),
            slices: Some(2),
            ..ReproduceOptions::default()
        };
        let folder = ReproduceOptions {
            data: folder.to_str().map(str::to_owned),
            no_cache: true,
            memory_limit_mib: LoadOptions::MEMORY_LIMIT_MIB,
            ..ReproduceOptions::default()
        };
        let slices = |source: &ReproduceOptions, contrasts: &str| {
            let options = ReproduceOptions {
                contrasts: Some(contrasts.to_owned()),
                ..source.clone()
            };
            let configuration = Configuration::new(&options, None).expect("fine");
            let loading = options.loading(&configuration.contrasts);
            let mut patients =
                patients(&configuration, &loading, &Progress::new()).expect("patients");
            assert_eq!(patients.len(), 4);
            patients.remove(0).slices
        };
        for data in [phantom, folder] {
            let [t2, flair, both] = ["t2", "flair", "t2,flair"].map(|list| slices(&data, list));
            assert_eq!([t2.len(), flair.len(), both.len()], [2, 2, 4]);
            assert_ne!(t2[0].pixels, flair[0].pixels);
            let pixels = both.iter().map(|slice| &slice.pixels);
            assert!(pixels.eq([t2, flair].iter().flatten().map(|slice| &slice.pixels)));
        }
    }
}
