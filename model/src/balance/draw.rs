//! Which slices are kept, and what is made of which.

use rand::{RngExt, SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha20Rng;

use super::{Balance, Origin, Transform, neighbours::nearest_neighbours};
use model_data::Sample;

/// Neighbours that SMOTE chooses among: the k of Chawla et al. 2002.
pub const NEIGHBOURS: usize = 5;

/// Draws `target` samples from the `members` of class number `class`: a choice of them if they
/// are more, all of them and new ones if they are fewer. No class has an influence on another.
///
/// New ones take their seeds in turn from the shuffled members, so no member is the seed of more
/// than one new sample more than another.
///
/// # Panics
/// If samples are to be made of no member, or by SMOTE of [`NEIGHBOURS`] or fewer.
pub(super) fn draw<'a>(
    balance: Balance,
    class: usize,
    members: &[Sample],
    target: usize,
    pixels: impl Fn(Sample) -> &'a [f32],
    seed: u64,
) -> Vec<Origin> {
    let mut rng = generator(class, seed);
    let (kept, seeds) = chosen(members.len(), target, &mut rng);
    let mut drawn: Vec<Origin> = kept
        .into_iter()
        .map(|member| Origin::Slice(members[member]))
        .collect();
    match balance {
        _ if seeds.is_empty() => {}
        Balance::Original | Balance::Undersample => {
            unreachable!("no class grows under {balance}")
        }
        Balance::Oversample => drawn.extend(seeds.into_iter().map(|member| Origin::Transformed {
            seed: members[member],
            transform: Transform::random(&mut rng),
        })),
        Balance::Smote => {
            let points: Vec<&[f32]> = members.iter().map(|&member| pixels(member)).collect();
            let nearest = nearest_neighbours(&points, NEIGHBOURS);
            drawn.extend(seeds.into_iter().map(|member| Origin::Between {
                seed: members[member],
                neighbour: members[nearest[member][rng.random_range(0..NEIGHBOURS)]],
                share: rng.random(),
            }));
        }
    }
    drawn
}

/// The seeds of what [`draw`] gives for the same numbers, in its order: no image is looked at.
pub(super) fn seeds(class: usize, members: &[Sample], target: usize, seed: u64) -> Vec<Sample> {
    let (kept, seeds) = chosen(members.len(), target, &mut generator(class, seed));
    let both = kept.into_iter().chain(seeds);
    both.map(|member| members[member]).collect()
}

fn generator(class: usize, seed: u64) -> ChaCha20Rng {
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    rng.set_stream(class as u64);
    rng
}

/// The members that are kept, and the seed of each new sample.
fn chosen(members: usize, target: usize, rng: &mut ChaCha20Rng) -> (Vec<usize>, Vec<usize>) {
    let mut order: Vec<usize> = (0..members).collect();
    if target != members {
        order.shuffle(rng);
    }
    let mut kept = order[..target.min(members)].to_vec();
    kept.sort_unstable();
    let missing = target.saturating_sub(members);
    let seeds = order.into_iter().cycle().take(missing).collect();
    (kept, seeds)
}
