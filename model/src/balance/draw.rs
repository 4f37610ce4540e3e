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
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    rng.set_stream(class as u64);
    let mut order: Vec<usize> = (0..members.len()).collect();
    if target != members.len() {
        order.shuffle(&mut rng);
    }
    let mut kept = order[..target.min(members.len())].to_vec();
    kept.sort_unstable();
    let mut drawn: Vec<Origin> = kept
        .into_iter()
        .map(|member| Origin::Slice(members[member]))
        .collect();
    let missing = target.saturating_sub(members.len());
    let seeds = order.into_iter().cycle().take(missing);
    match balance {
        _ if missing == 0 => {}
        Balance::Original | Balance::Undersample => {
            unreachable!("no class grows under {balance}")
        }
        Balance::Oversample => drawn.extend(seeds.map(|member| Origin::Transformed {
            seed: members[member],
            transform: Transform::random(&mut rng),
        })),
        Balance::Smote => {
            let points: Vec<&[f32]> = members.iter().map(|&member| pixels(member)).collect();
            let nearest = nearest_neighbours(&points, NEIGHBOURS);
            drawn.extend(seeds.map(|member| Origin::Between {
                seed: members[member],
                neighbour: members[nearest[member][rng.random_range(0..NEIGHBOURS)]],
                share: rng.random(),
            }));
        }
    }
    drawn
}
