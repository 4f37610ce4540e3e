//! From the training part of a split to a balanced data set.

use rayon::prelude::*;

use super::{
    Balance, BalanceError, NEIGHBOURS, Origin,
    draw::{draw, seeds},
};
use crate::train::{Dataset, DatasetBuilder, pixels_of};
use model_data::{Cuts, Patient, Sample, Task};

/// Images made side by side before they are put in their place.
const AT_A_TIME: usize = 256;

/// A training set after it was balanced.
pub struct Balanced {
    /// Its samples. One that was made has the class and the patient of its seed.
    pub dataset: Dataset,
    /// What each of them is, in the order of the data set.
    pub origins: Vec<Origin>,
    /// Training samples of each class before.
    pub counts_before: Vec<u64>,
    /// And now.
    pub counts: Vec<u64>,
}

/// Balances the classes of `training`, samples of `patients` labelled by `task` and `cuts`.
///
/// Under [`Balance::Original`] a class may be empty. Which samples are drawn and made depends on
/// the seed alone; a patient keeps its index in `patients`, as in [`Dataset::new`].
///
/// # Errors
/// A class without a sample; fewer samples of a class to be filled up by SMOTE than a sample and
/// its [`NEIGHBOURS`]; samples that make no data set.
pub fn balanced(
    patients: &[Patient],
    training: &[Sample],
    task: Task,
    cuts: Cuts,
    balance: Balance,
    seed: u64,
) -> Result<Balanced, BalanceError> {
    let Classes {
        members,
        counts_before,
        counts,
    } = Classes::new(patients, training, task, cuts, balance)?;
    let pixels = |sample: Sample| &*patients[sample.patient].slices[sample.slice].pixels;
    let classes = members.iter().zip(&counts).enumerate();
    let drawn: Vec<Vec<Origin>> = classes
        .map(|(class, (members, &target))| {
            draw(balance, class, members, target as usize, pixels, seed)
        })
        .collect();
    // Slices first, in the order of the split; a stable sort keeps what was made by class.
    let classes = drawn.into_iter().enumerate();
    let mut origins: Vec<(usize, Origin)> = classes
        .flat_map(|(class, drawn)| drawn.into_iter().map(move |origin| (class, origin)))
        .collect();
    origins.sort_by_key(|(_, origin)| match origin {
        Origin::Slice(sample) => (false, Some(*sample)),
        _ => (true, None),
    });
    let mut gathered = DatasetBuilder::with_capacity(origins.len());
    for some in origins.chunks(AT_A_TIME) {
        let images: Vec<_> = some
            .par_iter()
            .map(|(_, origin)| origin.image(pixels))
            .collect();
        for ((class, origin), image) in some.iter().zip(images) {
            gathered.push(&image, *class, origin.seed().patient);
        }
    }
    Ok(Balanced {
        dataset: gathered.finish()?,
        origins: origins.into_iter().map(|(_, origin)| origin).collect(),
        counts_before,
        counts,
    })
}

/// The seed of every sample that [`balanced`] makes of the same, class by class: for what looks at patients and not at
/// images, of which none is made.
///
/// # Errors
/// As [`balanced`].
pub fn balanced_seeds(
    patients: &[Patient],
    training: &[Sample],
    task: Task,
    cuts: Cuts,
    balance: Balance,
    seed: u64,
) -> Result<Vec<Vec<Sample>>, BalanceError> {
    let Classes {
        members, counts, ..
    } = Classes::new(patients, training, task, cuts, balance)?;
    let classes = members.iter().zip(&counts).enumerate();
    Ok(classes
        .map(|(class, (members, &target))| seeds(class, members, target as usize, seed))
        .collect())
}

/// Training samples by class, and how many there are to be.
struct Classes {
    members: Vec<Vec<Sample>>,
    counts_before: Vec<u64>,
    counts: Vec<u64>,
}

impl Classes {
    fn new(
        patients: &[Patient],
        training: &[Sample],
        task: Task,
        cuts: Cuts,
        balance: Balance,
    ) -> Result<Self, BalanceError> {
        let mut members = vec![vec![]; task.classes()];
        for &sample in training {
            let (patient, _) = pixels_of(patients, sample)?;
            members[task.class_of(patient.edss, cuts)].push(sample);
        }
        let counts_before: Vec<u64> = members.iter().map(|class| class.len() as u64).collect();
        let counts = balance.class_counts(&counts_before);
        for (class, members) in members.iter().enumerate() {
            let name = task.class_names()[class];
            check(balance, name, members.len(), counts[class] as usize)?;
        }
        Ok(Self {
            members,
            counts_before,
            counts,
        })
    }
}

fn check(
    balance: Balance,
    class: &'static str,
    found: usize,
    target: usize,
) -> Result<(), BalanceError> {
    if balance != Balance::Original && found == 0 {
        return Err(BalanceError::EmptyClass { class, balance });
    }
    if balance == Balance::Smote && found < target && found <= NEIGHBOURS {
        return Err(BalanceError::FewSamples { class, found });
    }
    Ok(())
}
