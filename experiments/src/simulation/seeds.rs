//! Every seed of a simulation, derived from the one that a person gives.

use crypto::{hash::labelled_hash, sealed_sum::HospitalId};

/// Of the phantom cohort.
pub fn phantom_seed(seed: u64) -> u64 {
    derived("phantom", seed, &[])
}

/// Of the dealing of patients to hospitals.
pub fn partition_seed(seed: u64) -> u64 {
    derived("partition", seed, &[])
}

/// Of a hospital's cut into training, validation and test.
pub fn split_seed(seed: u64, hospital: HospitalId) -> u64 {
    derived("split", seed, &[hospital.get()])
}

fn derived(label: &str, seed: u64, parts: &[u8]) -> u64 {
    let hash = labelled_hash(
        "simulation-seed",
        &[label.as_bytes(), &seed.to_le_bytes(), parts],
    );
    u64::from_le_bytes(hash[..8].try_into().expect("a hash has 32 bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_differ_by_purpose_hospital_and_origin() {
        let hospital = |number| HospitalId::new(number).expect("in range");
        let seeds = [
            phantom_seed(1),
            phantom_seed(2),
            partition_seed(1),
            split_seed(1, hospital(1)),
            split_seed(1, hospital(2)),
        ];
        for (place, seed) in seeds.iter().enumerate() {
            assert!(!seeds[..place].contains(seed));
        }
        assert_eq!(phantom_seed(1), phantom_seed(1));
    }
}
