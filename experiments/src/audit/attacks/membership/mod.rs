//! Attack 7: was this patient in the training of the common model?

mod estimator;
mod shadows;

use anyhow::Context as _;

use self::{
    estimator::{Estimator, Scores},
    shadows::{Shadows, Training},
};
use super::{
    super::{
        effort::Effort,
        finding::{Finding, Measured, Verdict},
    },
    randomness,
};
use crate::simulation::Progress;

/// The control's area has to reach this. Of the quick effort's 32 members and 32 others, which are 16 patients, chance seldom does.
const MIN_AUROC: f64 = 0.7;
/// Deviations of chance from which an area is more than that.
const MIN_DEVIATIONS: f64 = 3.0;
/// Of the patients that are no members, the share that may be called so.
const FALSE_POSITIVES: f64 = 0.05;

/// Until every slice is known by heart.
const OVERFITTED: Training = Training::Alone { epochs: 60 };
/// Hospitals, rounds and epochs of a simulation by default, without conditioning.
const AS_A_RUN: Training = Training::Together {
    hospitals: 3,
    rounds: 8,
    epochs: 2,
};

/// Runs it.
///
/// # Errors
/// Training that cannot be done.
pub fn run(effort: Effort, seed: u64, progress: &Progress) -> anyhow::Result<Finding> {
    let (patients, slices, pairs) = effort.of((16, 2, 2), (60, 8, 8));
    let drawing = progress.stage("drawing patients", patients);
    let mut randomness = randomness(seed, "membership");
    let shadows = Shadows::draw(patients, slices, pairs, &mut randomness, || drawing.step());
    drop(drawing);
    let attacked = |name, training| {
        let stage = progress.stage(name, shadows.models());
        shadows.attacked(training, || stage.step())
    };
    let overfitted = attacked("training overfitted models", OVERFITTED)?;
    let as_a_run = attacked("training common models", AS_A_RUN)?;
    let control_won = best(&overfitted)?.0 >= MIN_AUROC;
    let (area, deviation) = best(&as_a_run)?;
    let leaks = area - 0.5 > MIN_DEVIATIONS * deviation;
    Ok(Finding {
        number: 7,
        attack: "membership of a patient, from the common model",
        attacker_holds: "the common model, the patient's slices and class, models of its own that it trained alike",
        claimed: "nothing: membership inference from models is not protected (section 10)",
        control: measured("one hospital, 60 epochs", &overfitted)?,
        control_won,
        claim: measured(
            "common model of 3 hospitals, 8 rounds of 2 epochs",
            &as_a_run,
        )?,
        verdict: if leaks {
            Verdict::LeaksAsStated
        } else {
            Verdict::NotByThisAttack
        },
        explanation: format!(
            "{} models are trained, each on half of {patients} phantom patients (`realistic`, {slices} slices each, network without \
             conditioning), and each is attacked by means of the {} that are neither it nor the one of its counterpart: of any patient \
             half of them have seen it. A patient is judged by the mean logit of its class over its slices. Every pair of model and patient is a case; those of one \
             patient or model are not independent, so intervals may be too narrow. All that is computed is the same at any number of threads.",
            shadows.models(),
            shadows.models() - 2,
        ),
        literature: "LiRA: Carlini et al. 2022, with one variance for few models; loss: Yeom et al. 2018; few models: RMIA, Zarifzadeh et al. 2024",
    })
}

/// The largest area, with the deviation of chance.
fn best(attacked: &[(Estimator, Scores)]) -> anyhow::Result<(f64, f64)> {
    let areas = attacked
        .iter()
        .filter_map(|(_, scores)| Some((scores.area()?, scores.chance_deviation())));
    areas
        .max_by(|one, other| one.0.total_cmp(&other.0))
        .context("there are members and others")
}

fn measured(what: &str, attacked: &[(Estimator, Scores)]) -> anyhow::Result<Vec<Measured>> {
    let mut measured = Vec::new();
    for (estimator, scores) in attacked {
        let setting = format!("{what}, {}", estimator.words());
        let area = scores.area().context("there are members and others")?;
        measured.push(Measured::value(&setting, "AUROC", area).against(0.5));
        let found = scores.found_at(FALSE_POSITIVES);
        measured.push(
            Measured::share(setting, "members found at 5% false positives", found)
                .against(FALSE_POSITIVES),
        );
    }
    Ok(measured)
}
