//! Whether patients are those with which a run began.

use crypto::hash::labelled_hash;
use model_data::Patient;

/// A hash of everything that training sees of the patients, so that a run goes on with the patients it began with.
pub fn cohort_fingerprint(patients: &[Patient]) -> String {
    let mut digest = labelled_hash("reproduction-patients", &[]);
    for patient in patients {
        let mut bytes = patient.edss.value().to_le_bytes().to_vec();
        for feature in &patient.features {
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

#[cfg(test)]
mod tests {
    use phantom::PhantomSettings;

    use super::*;

    #[test]
    fn the_fingerprint_is_of_every_part() {
        let settings = PhantomSettings {
            patients: 2,
            slices_per_patient: 1,
            seed: 3,
            ..PhantomSettings::default()
        };
        let patients = phantom::cohort(&settings, || ());
        let original = cohort_fingerprint(&patients);
        assert_eq!(original, cohort_fingerprint(&patients));
        let changes: [fn(&mut Vec<Patient>); 4] = [
            |patients| patients[1].slices[0].pixels[77] += 1.0,
            |patients| patients[0].id.push('x'),
            |patients| patients[0].features[1] = None,
            |patients| patients.swap(0, 1),
        ];
        for change in changes {
            let mut changed = patients.clone();
            change(&mut changed);
            assert_ne!(cohort_fingerprint(&changed), original);
        }
    }
}
