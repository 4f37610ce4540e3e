//! The AUROC that the best classifier would have on patients such as a phantom's.

use model::metrics::{Metrics, Prediction};
pub use phantom::reachable::Evidence;
use phantom::reachable::judged;
use protocol::{labels::Labels, vocabulary::Task};

use crate::phantom_name::PhantomName;

/// Over so many patients that its standard error is about 0.005; None where a class has nobody.
pub fn reachable_auroc(kind: PhantomName, labels: Labels, evidence: Evidence) -> Option<f64> {
    let cuts = labels.scheme.cuts();
    let cuts = match labels.task {
        Task::Binary => vec![cuts.binary],
        Task::Multiclass => cuts.multiclass.to_vec(),
    };
    let judged = judged(kind.kind(), evidence, &cuts, PATIENTS, SEED);
    let predictions: Vec<Prediction> = judged
        .into_iter()
        .enumerate()
        .map(|(patient, judged)| Prediction {
            patient,
            label: judged.class,
            probabilities: judged
                .probabilities
                .into_iter()
                .map(|share| share as f32)
                .collect(),
        })
        .collect();
    Metrics::of(&predictions, labels.task.classes()).auroc
}

const PATIENTS: usize = 4000;
/// Of patients that no phantom of a person's seed has.
const SEED: u64 = 0x7265_6163_6861_626c;

#[cfg(test)]
mod tests {
    use protocol::labels::LabelScheme;

    use super::*;

    #[test]
    fn features_add_to_what_images_reach_most_where_they_tell_what_no_image_shows() {
        let labels = Labels {
            task: Task::Binary,
            scheme: LabelScheme::AsWritten,
        };
        let of = |kind, features| {
            let evidence = Evidence {
                images: true,
                features,
            };
            reachable_auroc(kind, labels, evidence).expect("both classes")
        };
        for (kind, images, both) in [
            (PhantomName::Teaching, 0.97..1.0, 0.97..1.0),
            (PhantomName::Realistic, 0.65..0.8, 0.75..0.92),
            (PhantomName::Informative, 0.8..0.9, 0.9..0.99),
        ] {
            let (without, with) = (of(kind, false), of(kind, true));
            assert!(images.contains(&without), "{kind}: {without}");
            assert!(both.contains(&with), "{kind}: {with}");
            assert!(with >= without - 0.01, "{kind}");
        }
    }
}
