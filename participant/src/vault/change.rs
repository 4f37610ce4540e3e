//! What this hospital's training moved in the common model, as it goes into a sum.

use crypto::sealed_sum::Reals;
use protocol::network::ModelLayout;
use zeroize::Zeroizing;

/// Value by value in the order of the layout: what the trainer moved, and what the vault puts in the place of what it keeps. Made where it
/// is read: as a whole it would be 34 MB, and all of it would have to be erased.
pub(super) struct Change<'a> {
    before: &'a [f32],
    /// Without what the vault keeps.
    trained: &'a [f32],
    of_kept: Zeroizing<Vec<f64>>,
    tensors: Vec<Tensor>,
}

/// The values up to a number that no tensor before it has.
struct Tensor {
    start: usize,
    end: usize,
    source: Source,
}

/// Where a tensor's change comes from, and its first value there.
#[derive(Clone, Copy)]
enum Source {
    Trained(usize),
    Kept(usize),
}

impl<'a> Change<'a> {
    /// From the values `before` the training to `trained`, which is without the tensors of `kept`; those change by `of_kept`. None when
    /// the lengths are not the layout's.
    pub(super) fn new(
        layout: &ModelLayout,
        before: &'a [f32],
        trained: &'a [f32],
        kept: &[&str],
        of_kept: Zeroizing<Vec<f64>>,
    ) -> Option<Self> {
        let (mut start, mut in_trained, mut in_kept) = (0, 0, 0);
        let mut tensors = Vec::new();
        for tensor in layout.tensors.iter() {
            let (place, source): (&mut usize, fn(usize) -> Source) =
                if kept.contains(&tensor.name.0.as_str()) {
                    (&mut in_kept, Source::Kept)
                } else {
                    (&mut in_trained, Source::Trained)
                };
            let end = start + tensor.values();
            let source = source(*place);
            *place += tensor.values();
            tensors.push(Tensor { start, end, source });
            start = end;
        }
        let lengths = (before.len(), trained.len(), of_kept.len());
        (lengths == (start, in_trained, in_kept)).then_some(Self {
            before,
            trained,
            of_kept,
            tensors,
        })
    }
}

impl Reals for Change<'_> {
    fn count(&self) -> usize {
        self.before.len()
    }

    fn read(&self, first: usize, piece: &mut [f64]) {
        let mut done = 0;
        let within = self.tensors.partition_point(|tensor| tensor.end <= first);
        for tensor in &self.tensors[within..] {
            if done == piece.len() {
                break;
            }
            let from = first + done;
            let end = (tensor.end - first).min(piece.len());
            let changes = &mut piece[done..end];
            let inside = from - tensor.start;
            match tensor.source {
                Source::Kept(place) => {
                    changes.copy_from_slice(&self.of_kept[place + inside..][..changes.len()]);
                }
                Source::Trained(place) => {
                    let trained = &self.trained[place + inside..][..changes.len()];
                    let before = &self.before[from..][..changes.len()];
                    for (change, (before, after)) in
                        changes.iter_mut().zip(before.iter().zip(trained))
                    {
                        *change = f64::from(*after) - f64::from(*before);
                    }
                }
            }
            done = end;
        }
        assert_eq!(done, piece.len(), "a model of fewer values");
    }
}

#[cfg(test)]
mod tests {
    use protocol::manifest::ConditioningForm;

    use super::*;

    /// Value by value by the definition, at every form, number of classes and of features.
    #[test]
    fn every_piece_is_what_the_trainer_moved_or_what_the_vault_puts_in_its_place() {
        for &form in ConditioningForm::ALL {
            let numbers = match form {
                ConditioningForm::Late => &[(2, 9), (2, 3), (3, 30)][..],
                _ => &[(2, 9), (3, 9)],
            };
            for &(classes, features) in numbers {
                let layout = ModelLayout::of(classes, form, features);
                check(&layout, form.tensors());
                check(&layout, &[]);
            }
        }
    }

    fn check(layout: &ModelLayout, kept: &[&str]) {
        let before: Vec<f32> = (0..layout.values()).map(|place| place as f32).collect();
        let moved: Vec<f32> = before.iter().map(|value| value + 0.5).collect();
        let trained = layout.without(kept, &moved);
        let of_kept: Vec<f64> = (0..layout.values() - trained.len())
            .map(|place| -(place as f64) - 1.0)
            .collect();
        let mut expected = vec![0.5; layout.values()];
        let mut of_tensors = &of_kept[..];
        for tensor in layout.tensors.iter() {
            let name = tensor.name.0.as_str();
            if kept.contains(&name) {
                let (own, others) = of_tensors.split_at(tensor.values());
                expected[layout.range(name).expect("present")].copy_from_slice(own);
                of_tensors = others;
            }
        }
        let zeroizing = || Zeroizing::new(of_kept.clone());
        let change = Change::new(layout, &before, &trained, kept, zeroizing());
        let change = change.expect("of this layout");
        assert_eq!(change.count(), expected.len());
        for length in [1, 7, 1000, 16_384, expected.len()] {
            let lasts = [expected.len() - length];
            for first in (0..lasts[0]).step_by(19_973).chain(lasts) {
                let mut piece = vec![f64::NAN; length];
                change.read(first, &mut piece);
                assert_eq!(piece, expected[first..][..length], "from {first}");
            }
        }

        let shorter = &trained[1..];
        assert!(Change::new(layout, &before, shorter, kept, zeroizing()).is_none());
        assert!(Change::new(layout, &before[1..], &trained, kept, zeroizing()).is_none());
        let more = Zeroizing::new([&of_kept[..], &[0.0]].concat());
        assert!(Change::new(layout, &before, &trained, kept, more).is_none());
    }
}
