//! The patients of a reproduction: made or read.

use std::path::Path;

use crypto::hash::labelled_hash;
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
            seed: phantom_seed(COHORT_SEED),
            ..PhantomSettings::default()
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

/// A hash of everything that training sees of the patients, so that a run goes on with the patients it began with.
pub fn fingerprint(patients: &[Patient]) -> String {
    let mut digest = labelled_hash("reproduction-patients", &[]);
    for patient in patients {
        let mut bytes = patient.edss.value().to_le_bytes().to_vec();
        for feature in patient.features {
            bytes.push(u8::from(feature.is_some()));
            bytes.extend(feature.unwrap_or(0.0).to_le_bytes());
        }
        let pixels = patient.slices.iter().flat_map(|slice| &slice.pixels);
        let pixels: Vec<u8> = pixels.flat_map(|pixel| pixel.to_le_bytes()).collect();
        let parts = [&digest, patient.id.as_bytes(), &bytes, &pixels];
        digest = labelled_hash("reproduction-patients", &parts);
    }
    hex::encode(digest)
}

/// The phantom is one cohort, as real data would be: repetitions differ in how it is split.
const COHORT_SEED: u64 = 1;

#[cfg(test)]
mod tests {
    use phantom::ms60_tree;

    use super::*;
    use crate::commands::ReproduceOptions;

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
        let folders = ms60_tree::write_phantom(root.path(), &settings, &everyone, || ());
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

    #[test]
    fn the_fingerprint_is_of_every_part() {
        let settings = PhantomSettings {
            patients: 2,
            slices_per_patient: 1,
            seed: 3,
            ..PhantomSettings::default()
        };
        let patients = phantom::cohort(&settings, || ());
        let original = fingerprint(&patients);
        assert_eq!(original, fingerprint(&patients));
        let changes: [fn(&mut Vec<Patient>); 4] = [
            |patients| patients[1].slices[0].pixels[77] += 1.0,
            |patients| patients[0].id.push('x'),
            |patients| patients[0].features[1] = None,
            |patients| patients.swap(0, 1),
        ];
        for change in changes {
            let mut changed = patients.clone();
            change(&mut changed);
            assert_ne!(fingerprint(&changed), original);
        }
    }
}
