//! How the hospitals' updates become the next common model, and what a hospital adds to its loss: part of the manifest, hence the same
//! for all.
//!
//! [`CommonModel`](crate::common_model::CommonModel) moves by it at every vault; FedProx alone concerns the trainer.

use std::{fmt, str::FromStr};

use crate::codec::{Decode, Encode};

/// The strategy of a run. The coordinator never sees an update: each vault takes the step by itself, in the same order of operations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Encode, Decode)]
pub enum Strategy {
    /// The model moves by the mean of the updates (McMahan et al. 2017).
    #[default]
    FedAvg,
    /// Means gather in a momentum, which moves the weights (Hsu et al. 2019).
    FedAvgM(Momentum),
    /// Adam over the means (Reddi et al. 2021, algorithm 2).
    FedAdam(Adaptive),
    /// Yogi over the means (the same): its second moment falls more slowly where the means become small.
    FedYogi(Adaptive),
    /// As [`Self::FedAvg`], with a loss that gains mu/2 |w - w_round|^2 at every hospital (Li et al. 2020).
    FedProx {
        /// From 0, which is `FedAvg`, to 100.
        mu: f64,
    },
}

/// The numbers of FedAvgM: m <- beta m + mean; w <- w + rate m.
#[derive(Clone, Copy, Debug, PartialEq, Encode, Decode)]
pub struct Momentum {
    /// Above 0, at most 10.
    pub rate: f64,
    /// Decay of the momentum, from 0 to below 1.
    pub beta: f64,
}

/// The numbers of FedAdam and FedYogi: w <- w + rate m / (sqrt(v) + tau).
#[derive(Clone, Copy, Debug, PartialEq, Encode, Decode)]
pub struct Adaptive {
    /// About what a weight moves by in a round when its means agree. Above 0, at most 10.
    pub rate: f64,
    /// Decay of the first moment, from 0 to below 1.
    pub beta1: f64,
    /// Decay of the second moment, from 0 to below 1.
    pub beta2: f64,
    /// Where sqrt(v) is far below it, the step is no longer normalised: rate/tau times m. v begins at its square. From 1e-9 to 1.
    pub tau: f64,
}

impl Strategy {
    /// FedAvgM as its name alone says it.
    pub const FEDAVGM: Self = Self::FedAvgM(Momentum {
        rate: 0.3,
        beta: 0.9,
    });
    /// FedAdam as its name alone says it.
    pub const FEDADAM: Self = Self::FedAdam(ADAPTIVE);
    /// FedYogi as its name alone says it.
    pub const FEDYOGI: Self = Self::FedYogi(ADAPTIVE);

    /// Weight of the proximal term in a hospital's loss: 0 for all but FedProx.
    pub fn proximal(self) -> f64 {
        match self {
            Self::FedProx { mu } => mu,
            Self::FedAvg | Self::FedAvgM(_) | Self::FedAdam(_) | Self::FedYogi(_) => 0.0,
        }
    }

    /// Names of the moments that the server's optimiser keeps of every value, in their order.
    pub fn moments(self) -> &'static [&'static str] {
        match self {
            Self::FedAvg | Self::FedProx { .. } => &[],
            Self::FedAvgM(_) => &["m"],
            Self::FedAdam(_) | Self::FedYogi(_) => &["m", "v"],
        }
    }

    /// Checks what the types do not express.
    ///
    /// # Errors
    /// The first number that is out of its range, or none.
    pub fn check(self) -> Result<(), StrategyOutOfRange> {
        let numbers: &[_] = match self {
            Self::FedAvg => &[],
            Self::FedAvgM(Momentum { rate, beta }) => {
                &[("rate", rate, RATES), ("beta", beta, BETAS)]
            }
            Self::FedAdam(numbers) | Self::FedYogi(numbers) => &[
                ("rate", numbers.rate, RATES),
                ("beta1", numbers.beta1, BETAS),
                ("beta2", numbers.beta2, BETAS),
                ("tau", numbers.tau, TAUS),
            ],
            Self::FedProx { mu } => &[("mu", mu, MUS)],
        };
        let wrong = numbers
            .iter()
            .find(|(_, found, (least, most))| !(*least..=*most).contains(found));
        match wrong {
            Some(&(number, found, (least, most))) => Err(StrategyOutOfRange {
                number,
                found,
                least,
                most,
            }),
            None => Ok(()),
        }
    }
}

/// `fedavg`, `fedavgm`, `fedadam`, `fedyogi`, `fedprox:0.01`.
impl fmt::Display for Strategy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FedAvg => formatter.write_str("fedavg"),
            Self::FedAvgM(_) => formatter.write_str("fedavgm"),
            Self::FedAdam(_) => formatter.write_str("fedadam"),
            Self::FedYogi(_) => formatter.write_str("fedyogi"),
            Self::FedProx { mu } => write!(formatter, "fedprox:{mu}"),
        }
    }
}

impl FromStr for Strategy {
    type Err = StrategyError;

    fn from_str(text: &str) -> Result<Self, StrategyError> {
        match (text, text.split_once(':')) {
            ("fedavg", _) => Ok(Self::FedAvg),
            ("fedavgm", _) => Ok(Self::FEDAVGM),
            ("fedadam", _) => Ok(Self::FEDADAM),
            ("fedyogi", _) => Ok(Self::FEDYOGI),
            ("fedprox", _) => Err(StrategyError::NoMu),
            (_, Some(("fedprox", number))) => {
                let mu = number.parse().ok();
                mu.map(|mu| Self::FedProx { mu })
                    .filter(|strategy| strategy.check().is_ok())
                    .ok_or_else(|| StrategyError::Mu(number.to_owned()))
            }
            _ => Err(StrategyError::Unknown(text.to_owned())),
        }
    }
}

/// A text that names no strategy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StrategyError {
    /// No such name.
    #[error(
        "unknown strategy {0:?}: use fedavg, fedavgm, fedadam, fedyogi or fedprox:MU, such as fedprox:0.01"
    )]
    Unknown(String),
    /// FedProx without its number.
    #[error("fedprox needs its MU, such as fedprox:0.01")]
    NoMu,
    /// FedProx with something else than a number, or one out of its range.
    #[error("fedprox:{0}: MU is a number from 0 to 100, such as fedprox:0.01")]
    Mu(String),
}

/// A number of a strategy that is not in its range.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("{number} is {found}, not a number from {least} to {most}")]
pub struct StrategyOutOfRange {
    /// Which of the strategy's numbers.
    pub number: &'static str,
    /// What it is.
    pub found: f64,
    /// The least that is allowed.
    pub least: f64,
    /// The largest that is allowed.
    pub most: f64,
}

/// beta1, beta2 and tau are those of the experiments of Reddi et al. 2021. The rate is of the size of what a hospital's AdamW moves a
/// weight by in a round.
const ADAPTIVE: Adaptive = Adaptive {
    rate: 0.01,
    beta1: 0.9,
    beta2: 0.99,
    tau: 1e-3,
};

const RATES: (f64, f64) = (1e-6, 10.0);
const BETAS: (f64, f64) = (0.0, 0.9999);
const TAUS: (f64, f64) = (1e-9, 1.0);
const MUS: (f64, f64) = (0.0, 100.0);

/// Strategies for tests.
#[cfg(any(test, feature = "testing"))]
pub mod testing {
    use super::Strategy;

    /// One of each kind.
    pub const EACH: [Strategy; 5] = [
        Strategy::FedAvg,
        Strategy::FEDAVGM,
        Strategy::FEDADAM,
        Strategy::FEDYOGI,
        Strategy::FedProx { mu: 0.01 },
    ];
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert_eq, proptest};

    use super::{testing::EACH, *};
    use crate::codec;

    #[test]
    fn each_strategy_has_one_name() {
        let names = ["fedavg", "fedavgm", "fedadam", "fedyogi", "fedprox:0.01"];
        for (strategy, name) in EACH.into_iter().zip(names) {
            assert_eq!(strategy.to_string(), name);
            assert_eq!(name.parse(), Ok(strategy));
            assert_eq!(strategy.check(), Ok(()));
        }
        assert_eq!(Strategy::default(), Strategy::FedAvg);
        assert_eq!("fedprox:0".parse(), Ok(Strategy::FedProx { mu: 0.0 }));
    }

    #[test]
    fn a_text_that_is_no_strategy_is_refused_with_what_would_be_right() {
        for (text, named) in [
            ("", "fedavg, fedavgm"),
            ("FedAvg", "\"FedAvg\""),
            ("fedsgd", "\"fedsgd\""),
            ("fedavg:1", "\"fedavg:1\""),
            ("fedprox", "needs its MU"),
            ("fedprox:", "fedprox:: MU"),
            ("fedprox:-0.1", "from 0 to 100"),
            ("fedprox:100.5", "from 0 to 100"),
            ("fedprox:nan", "from 0 to 100"),
            ("fedprox:inf", "from 0 to 100"),
            ("fedprox:0.1:2", "from 0 to 100"),
        ] {
            let error = text.parse::<Strategy>().expect_err(text).to_string();
            assert!(error.contains(named), "{text}: {error}");
        }
    }

    #[test]
    fn a_number_out_of_its_range_is_named() {
        let adaptive = |spoil: fn(&mut Adaptive)| {
            let mut numbers = ADAPTIVE;
            spoil(&mut numbers);
            numbers
        };
        let spoilt = [
            ("rate", adaptive(|numbers| numbers.rate = 0.0)),
            ("rate", adaptive(|numbers| numbers.rate = f64::INFINITY)),
            ("beta1", adaptive(|numbers| numbers.beta1 = 1.0)),
            ("beta2", adaptive(|numbers| numbers.beta2 = -0.1)),
            ("tau", adaptive(|numbers| numbers.tau = f64::NAN)),
            ("tau", adaptive(|numbers| numbers.tau = 0.0)),
        ];
        for (number, numbers) in spoilt {
            for strategy in [Strategy::FedAdam(numbers), Strategy::FedYogi(numbers)] {
                assert_eq!(strategy.check().expect_err(number).number, number);
            }
        }
        let others = [
            (0.0, 0.9, "rate is 0, not a number from 0.000001 to 10"),
            (1.0, 1.0, "beta is 1, not a number from 0 to 0.9999"),
        ];
        for (rate, beta, words) in others {
            let strategy = Strategy::FedAvgM(Momentum { rate, beta });
            assert_eq!(strategy.check().expect_err(words).to_string(), words);
        }
        let error = Strategy::FedProx { mu: -1.0 }.check();
        assert_eq!(error.expect_err("negative").number, "mu");
    }

    #[test]
    fn a_strategy_is_its_number_and_its_fields() {
        let bytes = |strategy| codec::encode(&strategy);
        assert_eq!(bytes(Strategy::FedAvg), [0; 4]);
        let half = [0, 0, 0, 0, 0, 0, 0xe0, 0x3f];
        let prox = Strategy::FedProx { mu: 0.5 };
        assert_eq!(bytes(prox), [&[4, 0, 0, 0][..], &half].concat());
        for (strategy, length) in EACH.into_iter().zip([4, 20, 36, 36, 12]) {
            assert_eq!(bytes(strategy).len(), length);
            assert_eq!(codec::decode(&bytes(strategy)), Ok(strategy));
        }
        assert!(codec::decode::<Strategy>(&[5, 0, 0, 0]).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_give_a_strategy_that_reencodes_alike_or_an_error(
            kind in 0_u8..7,
            mut bytes in proptest::collection::vec(any::<u8>(), 0..40),
        ) {
            bytes.splice(0..0, [kind, 0, 0, 0]);
            if let Ok(strategy) = codec::decode::<Strategy>(&bytes) {
                prop_assert_eq!(codec::encode(&strategy), bytes);
                let _ = strategy.check();
            }
        }

        #[test]
        fn any_text_gives_a_strategy_in_range_or_an_error(text in "(fed(avg|avgm|adam|yogi|prox))?:?[-0-9.eE]{0,8}") {
            if let Ok(strategy) = text.parse::<Strategy>() {
                prop_assert_eq!(strategy.check(), Ok(()));
                prop_assert_eq!(strategy.to_string().parse(), Ok(strategy));
            }
        }
    }
}
