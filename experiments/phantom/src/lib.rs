//! The phantom cohort: MS-like patients from a seed, so that everything runs without a download.
//!
//! ```text
//!  seed, index ──> clinical draw ──> lesion volumes ──┐
//!                    │ age, load                      ▼
//!                    └──> anatomy ───────────────> lesions placed ──> scanner ──> Volume
//!                         skull, folds, ventricles                    contrast, bias, noise
//! ```
//!
//! A patient's label is seen in the picture only as it would be in a real one: through lesions,
//! and through the atrophy that goes with them and with age.
//!
//! What it does not do: it is no model of the disease, and an accuracy reached on it says nothing
//! about patients. Clinical rows follow the distributions of MS60 (Muslim et al. 2022), lesions
//! those of consensus masks (Lesjak et al. 2017); no row and no voxel is copied.

#![forbid(unsafe_code)]

mod acquisition;
mod anatomy;
mod clinical;
mod kind;
mod lesions;
pub mod ms60_tree;
mod random_field;
pub mod reachable;
mod scanner;
mod shapes;
mod tissue;

use model_data::{Contrast, Edss, FEATURES, Patient, SliceChoice, axial_slices};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rayon::prelude::*;

pub use clinical::ClinicalDraw;
pub use kind::PhantomKind;
pub use scanner::ScannerProfile;

use anatomy::Anatomy;
use lesions::Lesions;

/// What cohort to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PhantomSettings {
    /// Number of patients.
    pub patients: usize,
    /// Axial slices of each.
    pub slices_per_patient: usize,
    /// What images and features tell of EDSS.
    pub kind: PhantomKind,
    /// Seed of everything. Patient `i` is the same whatever the number of patients.
    pub seed: u64,
}

/// 120 patients of 16 slices, as the simulation takes them.
impl Default for PhantomSettings {
    fn default() -> Self {
        Self {
            patients: 120,
            slices_per_patient: 16,
            kind: PhantomKind::default(),
            seed: 1,
        }
    }
}

/// A made-up patient who can be scanned.
pub struct PhantomPatient {
    /// `phantom-001` and so on.
    pub id: String,
    /// Disability score.
    pub edss: Edss,
    /// Raw clinical features in the order of [`model_data::Feature::ALL`].
    pub features: [Option<f64>; FEATURES],
    /// Scanner that takes the pictures.
    pub scanner: ScannerProfile,
    /// Volume of all lesions as drawn; what [`Self::lesion_shares`] adds up to is within 10%.
    pub lesion_volume_ml: f64,
    /// Volume of each lesion as drawn.
    pub lesion_volumes_mm3: Vec<f64>,
    anatomy: Anatomy,
    lesions: Lesions,
    noise: ChaCha8Rng,
}

/// The clinical side of patient `index`: cheap, no anatomy.
pub fn draw_clinical(settings: &PhantomSettings, index: usize) -> ClinicalDraw {
    ClinicalDraw::new(
        &mut stream(settings, index, Purpose::Clinical),
        settings.kind,
    )
}

/// Volumes in mm3 of the lesions that patient `index` has: cheap, no anatomy.
pub fn draw_lesion_volumes(settings: &PhantomSettings, index: usize) -> Vec<f64> {
    let clinical = draw_clinical(settings, index);
    let mut rng = stream(settings, index, Purpose::LesionVolumes);
    lesions::draw_volumes(&mut rng, 1000.0 * clinical.lesion_volume_ml)
}

/// Place in [`ScannerProfile::ALL`] of the scanner that patient `index` lies in.
pub fn scanner(index: usize) -> usize {
    index % ScannerProfile::ALL.len()
}

/// Makes patient `index`, ready to be scanned.
pub fn generate_patient(settings: &PhantomSettings, index: usize) -> PhantomPatient {
    let clinical = draw_clinical(settings, index);
    let lesion_volumes_mm3 = draw_lesion_volumes(settings, index);
    let mut rng = stream(settings, index, Purpose::Anatomy);
    let anatomy = Anatomy::new(&mut rng, atrophy(&clinical));
    let lesions = Lesions::place(&mut rng, &anatomy, &lesion_volumes_mm3);
    PhantomPatient {
        id: format!("phantom-{:03}", index + 1),
        edss: clinical.edss,
        features: clinical.features,
        scanner: ScannerProfile::ALL[scanner(index)],
        lesion_volume_ml: clinical.lesion_volume_ml,
        lesion_volumes_mm3,
        anatomy,
        lesions,
        noise: stream(settings, index, Purpose::Noise),
    }
}

/// The whole cohort as the network takes it, in the order of the patients' indices.
///
/// Patients are made on all threads of the current rayon pool, each from its own random stream:
/// the cohort is the same at any number of threads. `progress` is called after every patient
/// from whichever thread made it.
///
/// # Panics
/// If no slices are asked for.
pub fn cohort(settings: &PhantomSettings, progress: impl Fn() + Sync) -> Vec<Patient> {
    cohort_in(&[Contrast::Flair], settings, progress)
}

/// As [`cohort`], with the slices of these contrasts, one contrast after the other.
///
/// # Panics
/// If no slices are asked for.
pub fn cohort_in(
    contrasts: &[Contrast],
    settings: &PhantomSettings,
    progress: impl Fn() + Sync,
) -> Vec<Patient> {
    let patients = (0..settings.patients).into_par_iter().map(|index| {
        let phantom = generate_patient(settings, index);
        let patient = phantom.patient(contrasts, settings.slices_per_patient);
        progress();
        patient
    });
    patients.collect()
}

impl PhantomPatient {
    /// The patient with `slices` slices of each contrast, cut by the same code as those of a real
    /// scan.
    ///
    /// # Panics
    /// If `slices` is 0.
    pub fn patient(&self, contrasts: &[Contrast], slices: usize) -> Patient {
        let of_contrast = |&contrast: &Contrast| {
            axial_slices(
                &self.slab(contrast, slices),
                SliceChoice::All { drop_empty: false },
            )
            .expect("every plane of the slab shows the brain")
        };
        Patient {
            id: self.id.clone(),
            edss: self.edss,
            features: self.features.to_vec(),
            slices: contrasts.iter().flat_map(of_contrast).collect(),
        }
    }
}

/// How much tissue is lost, 0 to 1: a little with age, more with the logarithm of the load.
fn atrophy(clinical: &ClinicalDraw) -> f32 {
    let by_age = (clinical.age_years - 15.0) / 41.0;
    let by_load = (clinical.lesion_volume_ml / 0.33).ln() / 5.2;
    (0.5 * by_age + 0.5 * by_load).clamp(0.0, 1.0) as f32
}

/// What a random stream is for. Streams apart, so that a change in one leaves the others alone.
#[derive(Clone, Copy)]
enum Purpose {
    Clinical,
    LesionVolumes,
    Anatomy,
    Noise,
    /// Of patients that nobody is shown: [`reachable`].
    Population,
}

fn stream(settings: &PhantomSettings, index: usize, purpose: Purpose) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(settings.seed);
    rng.set_stream(16 * index as u64 + purpose as u64);
    rng
}

#[cfg(test)]
mod tests {
    use model_data::Volume;

    use super::*;

    const SMALL: PhantomSettings = PhantomSettings {
        patients: 4,
        slices_per_patient: 3,
        kind: PhantomKind::Teaching,
        seed: 7,
    };

    fn pool(threads: usize) -> rayon::ThreadPool {
        let builder = rayon::ThreadPoolBuilder::new().num_threads(threads);
        builder.build().expect("threads can be started")
    }

    fn voxel(volume: &Volume, [x, y, z]: [usize; 3]) -> f32 {
        volume.axial_plane(z)[128 * y + x]
    }

    /// Mean over a cube of 5 x 5 x 1 voxels around a place in millimetres.
    fn around(volume: &Volume, [x, y, z]: [f64; 3]) -> f32 {
        let index = |mm: f64| (mm / 1.8 + 63.5).round() as usize;
        let plane = ((z + 60.0) / 3.0).round() as usize;
        let mut sum = 0.0;
        for dy in 0..5 {
            for dx in 0..5 {
                sum += voxel(volume, [index(x) + dx - 2, index(y) + dy - 2, plane]);
            }
        }
        sum / 25.0
    }

    #[test]
    fn the_cohort_is_the_same_at_any_number_of_threads() {
        let one = pool(1).install(|| cohort(&SMALL, || ()));
        let three = pool(3).install(|| cohort(&SMALL, || ()));
        assert!(one == three);
        assert_eq!(one.len(), 4);
        assert!(one.iter().all(|patient| patient.slices.len() == 3));
    }

    #[test]
    fn a_patient_depends_on_seed_and_index_alone() {
        let alone = PhantomSettings {
            patients: 1,
            ..SMALL
        };
        assert!(cohort(&alone, || ()) == cohort(&SMALL, || ())[..1]);
        let other = PhantomSettings { seed: 8, ..alone };
        assert!(cohort(&other, || ())[0].slices != cohort(&alone, || ())[0].slices);
    }

    #[test]
    fn slices_of_several_contrasts_follow_one_another() {
        let flair = cohort(&SMALL, || ());
        let both = cohort_in(&[Contrast::T2, Contrast::Flair], &SMALL, || ());
        for (flair, both) in flair.iter().zip(&both) {
            assert_eq!(both.slices.len(), 6);
            assert!(both.slices[3..] == flair.slices[..] && both.slices[..3] != flair.slices[..]);
        }
    }

    #[test]
    fn progress_is_told_of_every_patient() {
        let told = std::sync::atomic::AtomicUsize::new(0);
        cohort(&SMALL, || {
            told.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        });
        assert_eq!(told.into_inner(), 4);
    }

    #[test]
    fn the_lesions_in_the_volume_are_those_that_were_drawn() {
        for index in 0..6 {
            let patient = generate_patient(&SMALL, index);
            let shares = patient.lesion_shares();
            let voxel_ml = shares.spacing_mm().iter().product::<f64>() / 1000.0;
            let measured = voxel_ml
                * shares
                    .voxels()
                    .iter()
                    .map(|&share| f64::from(share))
                    .sum::<f64>();
            let ratio = measured / patient.lesion_volume_ml;
            assert!((0.9..1.1).contains(&ratio), "patient {index}: {ratio}");
        }
    }

    #[test]
    fn lesions_are_bright_on_flair_and_t2_and_dark_on_t1() {
        let patient = generate_patient(&SMALL, 2);
        let shares = patient.lesion_shares();
        let ratio = |contrast| {
            let volume = patient.volume(contrast);
            let mean = |wanted: &dyn Fn(usize) -> bool| {
                let chosen: Vec<f32> = (0..shares.voxels().len())
                    .filter(|&index| wanted(index))
                    .map(|index| volume.voxels()[index])
                    .collect();
                chosen.iter().sum::<f32>() / chosen.len() as f32
            };
            // White matter is what lies 3 voxels beside a lesion, as often as not.
            let lesion = mean(&|index| shares.voxels()[index] > 0.9);
            let beside = mean(&|index| {
                let near =
                    |other: usize| shares.voxels().get(other).is_some_and(|&share| share > 0.9);
                shares.voxels()[index] == 0.0 && index > 3 && (near(index + 3) || near(index - 3))
            });
            lesion / beside
        };
        assert!(ratio(Contrast::Flair) > 1.2);
        assert!(ratio(Contrast::T2) > 1.2);
        assert!(ratio(Contrast::T1) < 0.97);
    }

    #[test]
    fn the_head_is_the_right_way_round() {
        for index in 0..3 {
            let patient = generate_patient(&SMALL, index);
            let (flair, t2) = (
                patient.volume(Contrast::Flair),
                patient.volume(Contrast::T2),
            );
            assert_eq!((flair.dims(), flair.spacing_mm()[2]), ([128, 128, 48], 3.0));
            let white = around(&t2, [26.0, 10.0, 36.0]);
            assert!(
                around(&t2, [30.0, -64.0, -38.0]) > 1.5 * white,
                "eyes are in front"
            );
            for side in [-1.0, 1.0] {
                let white = around(&flair, [26.0 * side, 10.0, 36.0]);
                let trigone = |y: f64| around(&flair, [24.0 * side, y, 12.0]);
                assert!(
                    around(&flair, [12.0 * side, -14.0, 23.0]) < 0.7 * white,
                    "fluid is dark on FLAIR"
                );
                assert!(
                    trigone(24.0) < 0.7 * trigone(-24.0),
                    "the trigone is at the back"
                );
            }
            let air = around(&flair, [-108.0, -108.0, 0.0]);
            assert!(air < 0.15 * around(&flair, [26.0, 10.0, 36.0]));
            let at_height = |z: f64| around(&flair, [24.0, 24.0, z]);
            assert!(at_height(12.0) < 0.7 * at_height(-12.0), "the crown is up");
        }
    }

    #[test]
    fn neighbours_lie_in_different_scanners() {
        let names: Vec<_> = (0..4)
            .map(|index| generate_patient(&SMALL, index).scanner.name)
            .collect();
        assert!(names[0] != names[1] && names[1] != names[2] && names[0] != names[2]);
        assert_eq!(names[0], names[3]);
    }

    #[test]
    fn atrophy_widens_the_ventricles() {
        let fluid = |atrophy: f32| {
            let mut rng = stream(&SMALL, 0, Purpose::Anatomy);
            let anatomy = Anatomy::new(&mut rng, atrophy);
            let mut sites = Vec::new();
            let rows = (0..80).map(|row| {
                anatomy.row(
                    [-60.0, -80.0 + 2.0 * row as f32, 18.0],
                    2.0,
                    2.0,
                    &mut sites,
                    60,
                );
                sites.iter().filter(|site| site.ventricle_mm < 0.0).count()
            });
            rows.sum::<usize>()
        };
        assert!(fluid(1.0) as f64 > 1.3 * fluid(0.0) as f64);
    }
}
