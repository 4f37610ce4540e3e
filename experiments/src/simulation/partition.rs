//! Which hospital has which patients: equal parts, or parts that differ as hospitals do.
//!
//! Patients are given by their classes and, where it is known, their scanners. Every dealing is a function of the seed alone, and
//! every part is sorted.

use std::{collections::BTreeMap, fmt, str::FromStr};

use protocol::counted::counted;
use rand::{Rng, RngExt, SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha20Rng;
use rand_distr::{Distribution, Gamma};

use super::seeds::partition_seed;

/// How patients are dealt to hospitals.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Partition {
    /// The same number, and of each class, to within one.
    #[default]
    Equal,
    /// Hospital k has a share in proportion to 1/k (Zipf), and of each class the same share.
    Zipf,
    /// Of every class, the hospitals' shares are drawn from the symmetric Dirichlet distribution (Hsu et al. 2019): the smaller
    /// the concentration, the more hospitals differ in what they have, and in how much.
    Dirichlet {
        /// Concentration, from 0.01 to 1000.
        alpha: f64,
    },
    /// A hospital has patients of one scanner only. Where there are fewer hospitals than scanners, some have several, and no
    /// scanner is in two of them.
    Scanner,
}

/// The patients of each hospital.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dealt {
    /// Patients' numbers, by hospital.
    pub parts: Vec<Vec<usize>>,
    /// Patients that were taken from the largest hospitals because others had too few to train on.
    pub moved: usize,
}

/// What is known of the patients before they are dealt.
#[derive(Clone, Copy, Debug)]
pub struct Dealing<'a> {
    /// Class of each patient.
    pub classes: &'a [usize],
    /// Scanner of each patient, from 0; none where the data does not tell.
    pub scanners: Option<&'a [usize]>,
    /// Hospitals to deal to.
    pub hospitals: usize,
    /// No hospital can do with fewer.
    pub fewest: usize,
    /// Of everything.
    pub seed: u64,
}

impl Partition {
    /// Deals every patient once.
    ///
    /// # Errors
    /// Too few patients, or scanners that nobody knows or that took too few.
    pub fn deal(self, dealing: &Dealing<'_>) -> Result<Dealt, PartitionError> {
        let &Dealing {
            classes,
            scanners,
            hospitals,
            fewest,
            seed,
        } = dealing;
        if classes.len() < hospitals * fewest {
            return Err(PartitionError::FewPatients {
                patients: classes.len(),
                hospitals,
                fewest,
            });
        }
        let mut rng = ChaCha20Rng::seed_from_u64(partition_seed(seed));
        let mut parts = match self {
            Self::Equal => deal_equally(classes, hospitals, seed),
            Self::Zipf => by_sizes(classes, &zipf_sizes(classes.len(), hospitals), &mut rng),
            Self::Dirichlet { alpha } => by_dirichlet(classes, hospitals, alpha, &mut rng)?,
            Self::Scanner => {
                let scanners = scanners.ok_or(PartitionError::NoScanners)?;
                let parts = by_scanner(classes, scanners, hospitals, seed);
                // A patient of another scanner would be no remedy.
                return match parts.iter().map(Vec::len).min() {
                    Some(found) if found < fewest => {
                        Err(PartitionError::FewOfScanner { found, fewest })
                    }
                    _ => Ok(Dealt { parts, moved: 0 }),
                };
            }
        };
        let moved = top_up(&mut parts, fewest, &mut rng);
        for part in &mut parts {
            part.sort_unstable();
        }
        Ok(Dealt { parts, moved })
    }
}

/// `equal`, `zipf`, `dirichlet:0.5`, `scanner`.
impl fmt::Display for Partition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Equal => formatter.write_str("equal"),
            Self::Zipf => formatter.write_str("zipf"),
            Self::Dirichlet { alpha } => write!(formatter, "dirichlet:{alpha}"),
            Self::Scanner => formatter.write_str("scanner"),
        }
    }
}

impl FromStr for Partition {
    type Err = PartitionError;

    fn from_str(text: &str) -> Result<Self, PartitionError> {
        match text.split_once(':') {
            None => match text {
                "equal" => Ok(Self::Equal),
                "zipf" => Ok(Self::Zipf),
                "scanner" => Ok(Self::Scanner),
                "dirichlet" => Err(PartitionError::NoConcentration),
                _ => Err(PartitionError::Unknown(text.to_owned())),
            },
            Some(("dirichlet", number)) => {
                let alpha = number.parse().ok();
                let alpha = alpha.filter(|alpha| (MIN_ALPHA..=MAX_ALPHA).contains(alpha));
                let alpha =
                    alpha.ok_or_else(|| PartitionError::Concentration(number.to_owned()))?;
                Ok(Self::Dirichlet { alpha })
            }
            Some(_) => Err(PartitionError::Unknown(text.to_owned())),
        }
    }
}

/// Patients that cannot be dealt so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PartitionError {
    /// Not enough for everybody.
    #[error(
        "{patients} patients are too few for {hospitals} hospitals, each of which needs {fewest} to train, validate and test: use \
         fewer hospitals, or --split slice, which needs fewer patients (slices of one patient can then fall on both sides of the cut)"
    )]
    FewPatients {
        /// There are.
        patients: usize,
        /// Hospitals asked for.
        hospitals: usize,
        /// Patients that each needs.
        fewest: usize,
    },
    /// A scanner took too few pictures.
    #[error(
        "--partition scanner leaves a hospital {}, and each needs {fewest} to train, validate and test: use more \
         patients, fewer hospitals, or another partition",
        counted(*found, ["patient", "patients"])
    )]
    FewOfScanner {
        /// Patients of that hospital.
        found: usize,
        /// Patients that each needs.
        fewest: usize,
    },
    /// Nothing is known of scanners.
    #[error(
        "--partition scanner: the data does not tell which scanner took which patient; choose equal, zipf or dirichlet:ALPHA"
    )]
    NoScanners,
    /// No such partition.
    #[error("`{0}` is not one of equal, zipf, dirichlet:ALPHA and scanner")]
    Unknown(String),
    /// `dirichlet` by itself.
    #[error(
        "dirichlet needs a concentration: dirichlet:0.5, say; the smaller, the more the hospitals differ"
    )]
    NoConcentration,
    /// A concentration that cannot be drawn from.
    #[error("the concentration `{0}` of dirichlet is not a number from 0.01 to 1000")]
    Concentration(String),
}

/// The partition `equal`: patients, given by their classes, are shuffled within their class and dealt one by one, class after
/// class, so that hospitals have the same number of patients, and of each class, to within one. Each part is sorted.
pub fn deal_equally(classes: &[usize], hospitals: usize, seed: u64) -> Vec<Vec<usize>> {
    let mut rng = ChaCha20Rng::seed_from_u64(partition_seed(seed));
    let mut parts = vec![Vec::new(); hospitals];
    let mut next = (0..hospitals).cycle();
    for patient in class_after_class(classes, &mut rng) {
        parts[next.next().expect("endless")].push(patient);
    }
    for part in &mut parts {
        part.sort_unstable();
    }
    parts
}

/// Patients of the first class in random order, then those of the next.
fn class_after_class(classes: &[usize], rng: &mut impl Rng) -> Vec<usize> {
    let mut of_class: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (patient, &class) in classes.iter().enumerate() {
        of_class.entry(class).or_default().push(patient);
    }
    for patients in of_class.values_mut() {
        patients.shuffle(rng);
    }
    of_class.into_values().flatten().collect()
}

/// Shares in proportion to 1, 1/2, 1/3 and so on, in whole patients (largest remainder).
fn zipf_sizes(patients: usize, hospitals: usize) -> Vec<usize> {
    let total: f64 = (1..=hospitals).map(|rank| 1.0 / rank as f64).sum();
    let exact = (1..=hospitals).map(|rank| patients as f64 / (rank as f64 * total));
    let (mut sizes, mut remainders): (Vec<usize>, Vec<(usize, f64)>) = exact
        .enumerate()
        .map(|(hospital, exact)| (exact.floor() as usize, (hospital, exact.fract())))
        .unzip();
    remainders.sort_by(|left, right| right.1.total_cmp(&left.1));
    let left = patients - sizes.iter().sum::<usize>();
    for (hospital, _) in remainders.into_iter().take(left) {
        sizes[hospital] += 1;
    }
    sizes
}

/// Parts of these sizes, each with its share of every class: the next patient goes where most are missing.
fn by_sizes(classes: &[usize], sizes: &[usize], rng: &mut impl Rng) -> Vec<Vec<usize>> {
    let mut parts = vec![Vec::new(); sizes.len()];
    for (dealt, patient) in (1..).zip(class_after_class(classes, rng)) {
        let missing = |hospital: &usize| {
            let due = sizes[*hospital] as f64 * dealt as f64 / classes.len() as f64;
            due - parts[*hospital].len() as f64
        };
        let hospital = (0..sizes.len())
            .filter(|&hospital| parts[hospital].len() < sizes[hospital])
            .max_by(|left, right| {
                missing(left)
                    .total_cmp(&missing(right))
                    .then(right.cmp(left))
            })
            .expect("the sizes add up to the patients");
        parts[hospital].push(patient);
    }
    parts
}

fn by_dirichlet(
    classes: &[usize],
    hospitals: usize,
    alpha: f64,
    rng: &mut impl Rng,
) -> Result<Vec<Vec<usize>>, PartitionError> {
    let gamma =
        Gamma::new(alpha, 1.0).map_err(|_| PartitionError::Concentration(alpha.to_string()))?;
    let order = class_after_class(classes, rng);
    let mut parts = vec![Vec::new(); hospitals];
    for of_class in order.chunk_by(|left, right| classes[*left] == classes[*right]) {
        let (mut begin, mut share) = (0, 0.0);
        for (part, proportion) in parts.iter_mut().zip(proportions(&gamma, hospitals, rng)) {
            share += proportion;
            let end = ((share * of_class.len() as f64).round() as usize).min(of_class.len());
            part.extend_from_slice(&of_class[begin..end]);
            begin = end;
        }
        // What rounding left.
        parts[hospitals - 1].extend_from_slice(&of_class[begin..]);
    }
    Ok(parts)
}

/// A draw from the symmetric Dirichlet distribution: gamma variables over their sum.
fn proportions(gamma: &Gamma<f64>, hospitals: usize, rng: &mut impl Rng) -> Vec<f64> {
    loop {
        let draws: Vec<f64> = (0..hospitals).map(|_| gamma.sample(rng)).collect();
        let sum: f64 = draws.iter().sum();
        // Of a small concentration all may underflow.
        if sum > 0.0 {
            return draws.into_iter().map(|draw| draw / sum).collect();
        }
    }
}

fn by_scanner(
    classes: &[usize],
    scanners: &[usize],
    hospitals: usize,
    seed: u64,
) -> Vec<Vec<usize>> {
    let mut of_scanner: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (patient, &scanner) in scanners.iter().enumerate() {
        of_scanner.entry(scanner).or_default().push(patient);
    }
    let number = of_scanner.len();
    let mut parts = vec![Vec::new(); hospitals];
    for (place, patients) in of_scanner.into_values().enumerate() {
        let owners: Vec<usize> = if number >= hospitals {
            vec![place % hospitals]
        } else {
            (place..hospitals).step_by(number).collect()
        };
        let own: Vec<usize> = patients.iter().map(|&patient| classes[patient]).collect();
        for (owner, part) in owners.iter().zip(deal_equally(&own, owners.len(), seed)) {
            parts[*owner].extend(part.into_iter().map(|index| patients[index]));
        }
    }
    for part in &mut parts {
        part.sort_unstable();
    }
    parts
}

/// Takes patients of the largest part, whichever, until no part has fewer than it needs.
fn top_up(parts: &mut [Vec<usize>], fewest: usize, rng: &mut impl Rng) -> usize {
    let mut moved = 0;
    let by_size = |parts: &[Vec<usize>], hospital: &usize| parts[*hospital].len();
    while let Some(poorest) = (0..parts.len())
        .min_by_key(|hospital| by_size(parts, hospital))
        .filter(|&hospital| parts[hospital].len() < fewest)
    {
        let richest = (0..parts.len()).max_by_key(|hospital| by_size(parts, hospital));
        let richest = richest.expect("there is a poorest one");
        let place = rng.random_range(0..parts[richest].len());
        let patient = parts[richest].swap_remove(place);
        parts[poorest].push(patient);
        moved += 1;
    }
    moved
}

const MIN_ALPHA: f64 = 0.01;
const MAX_ALPHA: f64 = 1000.0;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALL: [Partition; 4] = [
        Partition::Equal,
        Partition::Zipf,
        Partition::Dirichlet { alpha: 0.3 },
        Partition::Scanner,
    ];

    /// As many patients as asked for, three in seven of the second class, scanners in turn.
    fn deal(partition: Partition, patients: usize, hospitals: usize, seed: u64) -> Dealt {
        let classes: Vec<usize> = (0..patients).map(class).collect();
        let scanners: Vec<usize> = (0..patients).map(|patient| patient % 3).collect();
        partition
            .deal(&Dealing {
                classes: &classes,
                scanners: Some(&scanners),
                hospitals,
                fewest: 4,
                seed,
            })
            .expect("enough patients")
    }

    fn class(patient: usize) -> usize {
        usize::from(patient % 7 < 3)
    }

    fn sizes(dealt: &Dealt) -> Vec<usize> {
        dealt.parts.iter().map(Vec::len).collect()
    }

    fn spread(counts: &[usize]) -> usize {
        counts.iter().max().expect("some") - counts.iter().min().expect("some")
    }

    #[test]
    fn equal_parts_have_equal_shares_of_every_class() {
        let dealt = deal(Partition::Equal, 121, 5, 1);
        assert!(spread(&sizes(&dealt)) <= 1);
        for wanted in 0..2 {
            let of_class = |part: &Vec<usize>| {
                part.iter()
                    .filter(|&&patient| class(patient) == wanted)
                    .count()
            };
            assert!(spread(&dealt.parts.iter().map(of_class).collect::<Vec<_>>()) <= 1);
        }
        assert_eq!(
            dealt.parts,
            deal_equally(&(0..121).map(class).collect::<Vec<_>>(), 5, 1)
        );
    }

    #[test]
    fn zipf_sizes_fall_as_one_over_the_rank() {
        // 120 over 1 + 1/2 + 1/3 is 65.45, 32.73 and 21.82.
        assert_eq!(sizes(&deal(Partition::Zipf, 120, 3, 1)), [65, 33, 22]);
        let dealt = deal(Partition::Zipf, 1000, 8, 2);
        let first = dealt.parts[0].len() as f64;
        for (rank, part) in (1..).zip(&dealt.parts) {
            assert!(
                (part.len() as f64 - first / f64::from(rank)).abs() <= 1.0,
                "{rank}"
            );
            let share = part.iter().filter(|&&patient| class(patient) == 1).count() as f64;
            let expected = part.len() as f64 * 3.0 / 7.0;
            assert!(
                (share - expected).abs() <= 1.5,
                "{rank}: {share} of the second class"
            );
        }
        assert_eq!(dealt.moved, 0);
    }

    #[test]
    fn hospitals_that_zipf_leaves_too_small_are_topped_up() {
        let dealt = deal(Partition::Zipf, 40, 8, 1);
        assert!(sizes(&dealt).iter().all(|&size| size >= 4));
        assert!(dealt.moved > 0);
    }

    /// Mean and variance of a share are 1/K and (K-1) / (K^2 (K alpha + 1)).
    #[test]
    fn dirichlet_shares_have_the_mean_and_variance_of_the_distribution() {
        let (hospitals, patients, draws) = (4_usize, 700_usize, 600_u64);
        let of_class = (0..patients).filter(|&patient| class(patient) == 1).count() as f64;
        for alpha in [0.2, 1.0, 20.0] {
            let shares: Vec<f64> = (0..draws)
                .map(|seed| {
                    let dealt = deal(Partition::Dirichlet { alpha }, patients, hospitals, seed);
                    let first = &dealt.parts[0];
                    first.iter().filter(|&&patient| class(patient) == 1).count() as f64 / of_class
                })
                .collect();
            let k = hospitals as f64;
            let mean = shares.iter().sum::<f64>() / draws as f64;
            let variance = shares
                .iter()
                .map(|share| (share - mean).powi(2))
                .sum::<f64>()
                / draws as f64;
            let expected = (k - 1.0) / (k * k * (k * alpha + 1.0));
            // Four standard errors of the mean.
            let error = 4.0 * (expected / draws as f64).sqrt();
            assert!((mean - 1.0 / k).abs() < error, "alpha {alpha}: mean {mean}");
            assert!(
                (variance / expected - 1.0).abs() < 0.25,
                "alpha {alpha}: variance {variance}, {expected} expected"
            );
        }
    }

    #[test]
    fn every_scanner_is_in_one_hospital_and_a_hospital_of_several_shares_none() {
        let scanners_of = |dealt: &Dealt| -> Vec<Vec<usize>> {
            let of_part = |part: &Vec<usize>| {
                let mut scanners: Vec<usize> = part.iter().map(|patient| patient % 3).collect();
                scanners.sort_unstable();
                scanners.dedup();
                scanners
            };
            dealt.parts.iter().map(of_part).collect()
        };
        let dealt = deal(Partition::Scanner, 120, 3, 1);
        assert_eq!(scanners_of(&dealt), [[0], [1], [2]]);
        assert_eq!(sizes(&dealt), [40, 40, 40]);
        assert_eq!(
            scanners_of(&deal(Partition::Scanner, 120, 2, 1)),
            [vec![0, 2], vec![1]]
        );
        let five = deal(Partition::Scanner, 120, 5, 1);
        assert_eq!(scanners_of(&five), [[0], [1], [2], [0], [1]]);
        assert_eq!(sizes(&five), [20, 20, 40, 20, 20]);
    }

    #[test]
    fn what_cannot_be_dealt_is_refused_with_the_way_out() {
        let dealing = Dealing {
            classes: &[0; 12],
            scanners: None,
            hospitals: 3,
            fewest: 4,
            seed: 1,
        };
        let refusal = |partition: Partition, dealing: Dealing<'_>| {
            partition.deal(&dealing).expect_err("refused").to_string()
        };
        for partition in ALL {
            let four = Dealing {
                hospitals: 4,
                ..dealing
            };
            let refusal = refusal(partition, four);
            assert!(refusal.contains("--split slice") && refusal.contains("fewer hospitals"));
        }
        assert!(refusal(Partition::Scanner, dealing).contains("choose equal, zipf or dirichlet"));
        let mostly_one = Dealing {
            scanners: Some(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1]),
            hospitals: 2,
            ..dealing
        };
        assert!(refusal(Partition::Scanner, mostly_one).contains("a hospital 3 patients"));
    }

    #[test]
    fn names_are_read_back_and_others_refused() {
        for partition in ALL {
            assert_eq!(partition.to_string().parse(), Ok(partition));
        }
        for (text, part) in [
            ("zip", "equal, zipf, dirichlet:ALPHA and scanner"),
            ("zipf:2", "`zipf:2`"),
            ("dirichlet", "dirichlet:0.5"),
            ("dirichlet:", "0.01 to 1000"),
            ("dirichlet:0", "0.01 to 1000"),
            ("dirichlet:-1", "0.01 to 1000"),
            ("dirichlet:nan", "0.01 to 1000"),
            ("dirichlet:inf", "0.01 to 1000"),
        ] {
            let error = text.parse::<Partition>().expect_err("refused").to_string();
            assert!(error.contains(part), "{error}");
        }
    }

    proptest! {
        #[test]
        fn everybody_is_dealt_once_and_no_hospital_is_too_small(
            partition in prop::sample::select(&ALL[..3]),
            hospitals in 2_usize..20,
            more in 0_usize..100,
            seed: u64,
        ) {
            let patients = 4 * hospitals + more;
            let dealt = deal(partition, patients, hospitals, seed);
            let mut all = dealt.parts.concat();
            all.sort_unstable();
            prop_assert!(all.into_iter().eq(0..patients));
            prop_assert!(dealt.parts.iter().all(|part| part.len() >= 4 && part.is_sorted()));
            prop_assert_eq!(&dealt, &deal(partition, patients, hospitals, seed));
        }
    }

    #[test]
    fn another_seed_deals_otherwise() {
        for partition in &ALL[..3] {
            assert_ne!(
                deal(*partition, 60, 3, 1).parts,
                deal(*partition, 60, 3, 2).parts
            );
        }
        // Each hospital has all patients of a scanner: there is nothing to draw, unless two share it.
        assert_ne!(
            deal(Partition::Scanner, 60, 4, 1).parts,
            deal(Partition::Scanner, 60, 4, 2).parts
        );
    }
}
