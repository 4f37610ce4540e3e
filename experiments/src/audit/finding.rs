//! What an attack has found.

use model::metrics::{Interval, Share, auroc};
use serde::Serialize;
use statrs::function::beta::inv_beta_reg;

/// One measured number.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Measured {
    /// What was attacked, and with how much.
    pub setting: String,
    /// What the value is.
    pub metric: &'static str,
    /// What was measured.
    pub value: f64,
    /// Its 95% interval, where it is a share or an estimate.
    pub interval: Option<Interval>,
    /// What a guess without anything would reach.
    pub chance: Option<f64>,
    /// Whether it is left out of the table of all attacks.
    #[serde(skip)]
    pub is_detail: bool,
}

impl Measured {
    /// A number without an interval.
    pub fn value(setting: impl Into<String>, metric: &'static str, value: f64) -> Self {
        Self {
            setting: setting.into(),
            metric,
            value,
            interval: None,
            chance: None,
            is_detail: false,
        }
    }

    /// A share of counted cases, with the interval of Clopper and Pearson (1934), which is never too narrow for independent cases.
    /// Those of one patient or one trial are not independent: its interval may then be too narrow.
    ///
    /// # Panics
    /// If nothing was counted.
    pub fn share(setting: impl Into<String>, metric: &'static str, share: Share) -> Self {
        let value = share.value().expect("an attack counts something");
        let (part, others) = (share.part as f64, (share.whole - share.part) as f64);
        // Quantiles of the beta distribution; with no case on one side, the end of that side is known.
        let low = match share.part {
            0 => 0.0,
            _ => inv_beta_reg(part, others + 1.0, TAIL),
        };
        let high = match share.whole - share.part {
            0 => 1.0,
            _ => inv_beta_reg(part + 1.0, others, 1.0 - TAIL),
        };
        Self {
            interval: Some([low, high]),
            ..Self::value(setting, metric, value)
        }
    }

    /// The area under the ROC curve, with the interval of Hanley and McNeil (1982). None without both kinds of cases.
    pub fn auroc(
        setting: impl Into<String>,
        metric: &'static str,
        scores: &[(f32, bool)],
    ) -> Option<Self> {
        let value = auroc(scores.iter().copied())?;
        let positive = scores
            .iter()
            .filter(|(_, is_positive)| *is_positive)
            .count() as f64;
        let negative = scores.len() as f64 - positive;
        let of_positives = value / (2.0 - value) - value * value;
        let of_negatives = 2.0 * value * value / (1.0 + value) - value * value;
        let variance = (value * (1.0 - value)
            + (positive - 1.0) * of_positives
            + (negative - 1.0) * of_negatives)
            / (positive * negative);
        let spread = Z * variance.max(0.0).sqrt();
        Some(Self {
            interval: Some([(value - spread).max(0.0), (value + spread).min(1.0)]),
            chance: Some(0.5),
            ..Self::value(setting, metric, value)
        })
    }

    /// Pearson's coefficient of pairs, with the interval of Fisher's z; 0 where one of the two never varies.
    pub fn correlation(
        setting: impl Into<String>,
        metric: &'static str,
        pairs: &[[f64; 2]],
    ) -> Self {
        let count = pairs.len() as f64;
        let mean = [0, 1].map(|side| pairs.iter().map(|pair| pair[side]).sum::<f64>() / count);
        let product = |one: usize, other: usize| -> f64 {
            let terms = pairs
                .iter()
                .map(|pair| (pair[one] - mean[one]) * (pair[other] - mean[other]));
            terms.sum()
        };
        let spread = (product(0, 0) * product(1, 1)).sqrt();
        let value = if spread > 0.0 {
            product(0, 1) / spread
        } else {
            0.0
        };
        let z = value.clamp(-1.0, 1.0).atanh();
        let width = Z / (count - 3.0).max(1.0).sqrt();
        Self {
            interval: Some([(z - width).tanh(), (z + width).tanh()]),
            ..Self::value(setting, metric, value)
        }
    }

    /// For people; a dash where it has none.
    pub fn interval_words(&self) -> String {
        self.interval.map_or_else(
            || "-".to_owned(),
            |[low, high]| format!("{} to {}", number(low), number(high)),
        )
    }

    /// What a guess would reach, for people; a dash where that is not known.
    pub fn chance_words(&self) -> String {
        self.chance.map_or_else(|| "-".to_owned(), number)
    }

    /// Told with the attack itself, and not in the table of all.
    #[must_use]
    pub fn detail(self) -> Self {
        Self {
            is_detail: true,
            ..self
        }
    }

    /// With what a guess would reach.
    #[must_use]
    pub fn against(self, chance: f64) -> Self {
        Self {
            chance: Some(chance),
            ..self
        }
    }
}

/// Three digits, or all of a whole number. What is nearly 1 is not told as 1.
pub fn number(value: f64) -> String {
    let whole = value.fract() == 0.0 && value.abs() < 1e9;
    match value.abs() {
        _ if whole => format!("{value:.0}"),
        0.9995..1.0 if value > 0.0 => ">0.999".to_owned(),
        0.9995..1.0 => "<-0.999".to_owned(),
        0.001..1.0 => format!("{value:.3}"),
        1.0..10.0 => format!("{value:.2}"),
        10.0..100.0 => format!("{value:.1}"),
        100.0..1000.0 => format!("{value:.0}"),
        _ => format!("{value:.2e}"),
    }
}

/// What was measured of one setting after another.
pub fn by_setting(measured: &[Measured]) -> impl Iterator<Item = &[Measured]> {
    measured.chunk_by(|one, next| one.setting == next.setting)
}

/// Of the normal distribution, for 95% on both sides.
const Z: f64 = 1.959_963_984_540_054;
/// What 95% leave out on each side.
const TAIL: f64 = 0.025;

/// What an attack says of a claim of `docs/THREATS.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// There is a proof, and the attack finds nothing in the code that contradicts it.
    Holds,
    /// There is no proof. This attack, with this effort, does not do better than it is said to.
    NotByThisAttack,
    /// There is a leak, and the document says so and how much.
    LeaksAsStated,
    /// More is learnt than the document says.
    Broken,
}

impl Verdict {
    /// For people.
    pub fn words(self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::NotByThisAttack => "not by this attack, with this effort",
            Self::LeaksAsStated => "leaks, as THREATS.md says",
            Self::Broken => "BROKEN: more leaks than THREATS.md says",
        }
    }
}

/// Control, claim and verdict of one attack.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// Its number in the list.
    pub number: u8,
    /// Its name.
    pub attack: &'static str,
    /// Who attacks, and with what.
    pub attacker_holds: &'static str,
    /// What the document claims, in its words or shorter.
    pub claimed: &'static str,
    /// With the protection taken away.
    pub control: Vec<Measured>,
    /// Whether the attack won there, as it must: one that does not says nothing of the claim.
    pub control_won: bool,
    /// With the protection in place.
    pub claim: Vec<Measured>,
    /// What follows.
    pub verdict: Verdict,
    /// What was done, and what the numbers mean.
    pub explanation: String,
    /// Where the attack is from.
    pub literature: &'static str,
}

impl Finding {
    /// What it says, for people.
    pub fn outcome(&self) -> &'static str {
        match self.control_won {
            true => self.verdict.words(),
            false => "NOTHING: the control did not win",
        }
    }

    /// All that was measured, by what it was measured against.
    pub fn parts(&self) -> [(&'static str, &[Measured]); 2] {
        [("control", &self.control), ("protected", &self.claim)]
    }

    /// Why an audit with this finding fails; none if it does not.
    pub fn fault(&self) -> Option<String> {
        let Self { number, attack, .. } = self;
        if !self.control_won {
            return Some(format!(
                "attack {number} ({attack}): its control did not win, so it says nothing of the claim"
            ));
        }
        (self.verdict == Verdict::Broken)
            .then(|| format!("attack {number} ({attack}): more leaks than docs/THREATS.md says"))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// One that says nothing in particular.
    pub fn finding(control_won: bool, verdict: Verdict) -> Finding {
        Finding {
            number: 2,
            attack: "guess",
            attacker_holds: "nothing",
            claimed: "nothing is told",
            control: vec![Measured::value("all of it given", "right", 1.0)],
            control_won,
            claim: vec![
                Measured::share("nothing given", "right", Share { part: 7, whole: 20 })
                    .against(0.25),
            ],
            verdict,
            explanation: "A guess.".to_owned(),
            literature: "",
        }
    }

    #[test]
    fn a_control_that_loses_and_a_claim_that_breaks_fail_an_audit() {
        assert_eq!(finding(true, Verdict::Holds).fault(), None);
        assert_eq!(finding(true, Verdict::LeaksAsStated).fault(), None);
        let lost = finding(false, Verdict::NotByThisAttack).fault();
        assert!(lost.is_some_and(|fault| fault.contains("control")));
        let broken = finding(true, Verdict::Broken).fault();
        assert!(broken.is_some_and(|fault| fault.contains("more leaks")));
    }

    /// Both by hand: Fisher's z, and the formula of Hanley and McNeil.
    #[test]
    fn a_correlation_and_an_auroc_have_their_intervals() {
        let pairs = [[1.0, 2.0], [2.0, 1.0], [3.0, 4.0], [4.0, 3.0], [5.0, 6.0]];
        let found = Measured::correlation("", "", &pairs);
        assert!((found.value - 0.821_994_936_526_786_4).abs() < 1e-12);
        let [low, high] = found.interval.expect("it has one");
        assert!((low - -0.219_343).abs() < 1e-4, "{low}");
        assert!((high - 0.987_852).abs() < 1e-4, "{high}");
        let flat = Measured::correlation("", "", &[[1.0, 2.0], [1.0, 3.0], [1.0, 4.0]]);
        assert_eq!(flat.value, 0.0);

        let scores = [(0.1, false), (0.4, true), (0.3, false), (0.2, true)];
        let found = Measured::auroc("", "", &scores).expect("both");
        assert_eq!((found.value, found.chance), (0.75, Some(0.5)));
        let [low, high] = found.interval.expect("it has one");
        // Q1 = 0.6, Q2 = 0.642857: variance (0.1875 + 0.0375 + 0.080357) / 4.
        assert!(
            (low - (0.75 - 1.959_964 * 0.276_295_f64)).abs() < 1e-5,
            "{low}"
        );
        assert_eq!(high, 1.0);
        assert_eq!(Measured::auroc("", "", &scores[1..2]), None);
    }

    #[test]
    fn a_share_has_the_interval_of_clopper_and_pearson() {
        let share = &finding(true, Verdict::Holds).claim[0];
        assert_eq!((share.value, share.chance), (0.35, Some(0.25)));
        // scipy.stats.beta.ppf(0.025, part, whole - part + 1) and (0.975, part + 1, whole - part)
        for (part, whole, [low, high]) in [
            (7, 20, [0.153_909_204_784_541_18, 0.592_188_534_532_828_2]),
            (0, 24, [0.0, 0.142_473_597_722_525_63]),
            (24, 24, [0.857_526_402_277_474_3, 1.0]),
            (
                1,
                64,
                [0.000_395_512_514_050_663_95, 0.084_010_326_434_353_69],
            ),
            (9, 32, [0.137_456_903_295_501_7, 0.467_471_099_642_934_54]),
        ] {
            let found = Measured::share("", "", Share { part, whole }).interval;
            let [found_low, found_high] = found.expect("a share has one");
            let differs = (found_low - low).abs().max((found_high - high).abs());
            assert!(
                differs < 1e-9,
                "{part} of {whole}: {found_low}, {found_high}"
            );
        }
    }

    #[test]
    fn numbers_have_three_digits() {
        for (value, told) in [
            (0.0, "0"),
            (1.0, "1"),
            (-2.0, "-2"),
            (0.123_456, "0.123"),
            (12.34, "12.3"),
            (175.323, "175"),
            (0.9995, ">0.999"),
            (-0.99951, "<-0.999"),
            (0.000_012_34, "1.23e-5"),
        ] {
            assert_eq!(number(value), told);
        }
    }
}
