//! Thousands of rounds in which connections are lost, messages come twice, parties stand still or vanish: what must hold, holds.

use std::{num::NonZeroU32, time::Instant};

use cohort::{
    Ending, Event, Fault, Operation, Scenario, Violation,
    campaign::{Outcome, play, play_seeds, scenario_of_environment, seeds_of_environment},
};
use protocol::{
    manifest::{Conditioning, Keep, Purpose},
    strategy::Strategy,
};

const SEEDS: u64 = 640;
const FAULTY_ROUNDS: u64 = 2_000;

#[test]
fn two_thousand_faulty_rounds_keep_every_invariant() {
    if let Some(scenario) = scenario_of_environment() {
        describe(&scenario);
        let outcome = play(&scenario);
        let Outcome::Played(report) = &outcome else {
            panic!("{outcome:?}");
        };
        assert!(report.violations.is_empty(), "{report:#?}");
        return;
    }
    let began = Instant::now();
    let other_seeds = seeds_of_environment();
    let tally = play_seeds(other_seeds.clone().unwrap_or(0..SEEDS));
    let seconds = began.elapsed().as_secs_f64();
    let text = format!(
        "{} runs in {seconds:.1} s, {:.0} rounds a second, at most {} happenings in one, endings {:?}\n{}",
        tally.runs,
        tally.faults.rounds() as f64 / seconds,
        tally.most_happenings,
        tally.endings,
        tally.faults
    );
    let failures: Vec<_> = tally.failures.iter().map(ToString::to_string).collect();
    assert!(failures.is_empty(), "{text}\n{}", failures.join("\n\n"));
    say(&text);
    if other_seeds.is_some() {
        return;
    }
    for fault in Fault::ALL {
        assert!(tally.faults.of(fault) > 0, "no {fault:?}: {text}");
    }
    assert!(tally.faults.faulty_rounds() >= FAULTY_ROUNDS, "{text}");
}

/// A run of three hospitals and one learning round, with real vaults and keys, in which nothing goes wrong.
fn small_scenario() -> Scenario {
    let mut scenarios = (0..).map(Scenario::of_seed);
    let mut scenario = scenarios
        .find(|scenario| {
            let manifest = &scenario.manifest;
            scenario.size == 3
                && manifest.rounds == 1
                && manifest.conditioning == Conditioning::None
        })
        .expect("one of the next");
    scenario.operations.clear();
    scenario.manifest.start_with = None;
    scenario
}

/// Four hospitals of which one comes when the others are in their first update.
fn scenario_with_a_latecomer() -> Scenario {
    let mut scenario = small_scenario();
    scenario.size = 4;
    scenario.manifest.start_with = NonZeroU32::new(3);
    scenario.manifest.rounds = 2;
    scenario.manifest.weights.0.clear();
    scenario.operations = vec![Operation::Partition {
        hospitals: vec![2],
        at: 0,
        for_ms: 12_000,
    }];
    scenario
}

/// The same of a run that its evaluations end before its last round: the second of them is no better than the first.
fn scenario_that_ends_early() -> Scenario {
    let mut scenario = small_scenario();
    scenario.manifest.rounds = 8;
    scenario.manifest.early_stop = NonZeroU32::new(1);
    let keeps = [Keep::BestLoss, Keep::BestAccuracy].into_iter();
    let shortest = keeps.min_by_key(|keep| {
        scenario.manifest.keep = *keep;
        scenario.play().coordinator_effects
    });
    scenario.manifest.keep = shortest.expect("one of two");
    scenario
}

#[test]
fn a_session_that_follows_another_survives_whoever_is_started_again_in_it() {
    let scenario = scenario_with_a_latecomer();
    let mut cohort = scenario.cohort();
    let undisturbed = scenario.play_with(&mut cohort);
    assert_eq!(undisturbed.ending, Ending::Complete, "{undisturbed:?}");
    let follows = |event: &Event| matches!(event, Event::SessionFollows { .. });
    assert!(cohort.events.iter().any(follows), "hospital 2 comes late");
    let updates = [vec![1, 3, 4], vec![1, 2, 3, 4]];
    assert_eq!(cohort.contributors(Purpose::Update), updates);

    let mut restarts: Vec<_> = (1..=undisturbed.coordinator_effects)
        .map(|after_effect| Operation::RestartCoordinator {
            after_effect,
            for_ms: 700,
        })
        .collect();
    // One that hands the state over, the one that gets it, and one that only goes on.
    for hospital in [1, 2, 3] {
        let (_, writes) = cohort.effects_and_writes(hospital);
        restarts.extend((0..writes).map(|after_write| Operation::RestartAtWrite {
            hospital,
            after_write,
            for_ms: 700,
        }));
    }
    for restart in restarts {
        let mut scenario = scenario.clone();
        scenario.operations.push(restart.clone());
        let report = scenario.play();
        assert_eq!(report.ending, Ending::Complete, "{restart:?}: {report:?}");
    }
}

/// Whatever a hospital forgets, nobody answers twice for the same sum, and all come to one model.
#[test]
fn a_hospital_that_loses_its_state_folder_at_any_moment_comes_back() {
    let mut scenario = small_scenario();
    scenario.size = 5;
    scenario.manifest.rounds = 2;
    scenario.manifest.weights.0.clear();
    let mut cohort = scenario.cohort();
    let undisturbed = scenario.play_with(&mut cohort);
    assert_eq!(undisturbed.ending, Ending::Complete, "{undisturbed:?}");
    let (effects, _) = cohort.effects_and_writes(2);
    for after_effect in 1..effects {
        let mut scenario = scenario.clone();
        scenario.operations = vec![Operation::LoseState {
            hospital: 2,
            after_effect,
            for_ms: 700,
        }];
        let report = scenario.play();
        assert_eq!(
            report.ending,
            Ending::Complete,
            "after effect {after_effect}: {report:?}"
        );
    }
}

/// Plays it with one fault, which has its effect; what every invariant asks holds, and the run ends with all sums.
fn ends_well_with(mut scenario: Scenario, operation: Operation, fault: Fault) {
    scenario.operations = vec![operation.clone()];
    let report = scenario.play();
    assert_eq!(report.ending, Ending::Complete, "{operation:?}: {report:?}");
    assert_eq!(report.faults.of(fault), 1, "{operation:?}");
}

#[test]
fn a_coordinator_that_ends_after_any_of_its_effects_goes_on_from_its_disk() {
    let scenario = small_scenario();
    let undisturbed = scenario.play();
    assert_eq!(undisturbed.ending, Ending::Complete, "{undisturbed:?}");
    let effects = undisturbed.coordinator_effects;
    assert!(effects > 100, "{effects} effects of a whole run");
    for after_effect in 1..=effects {
        let restart = Operation::RestartCoordinator {
            after_effect,
            for_ms: 700,
        };
        ends_well_with(scenario.clone(), restart, Fault::RestartedCoordinator);
    }
}

#[test]
fn a_run_that_ends_early_ends_alike_whoever_is_started_again_in_it() {
    let scenario = scenario_that_ends_early();
    let mut cohort = scenario.cohort();
    let undisturbed = scenario.play_with(&mut cohort);
    assert_eq!(undisturbed.ending, Ending::Complete, "{undisturbed:?}");
    let updates = cohort.contributors(Purpose::Update).len();
    assert!((2..8).contains(&updates), "{updates} updates");
    for after_effect in 1..=undisturbed.coordinator_effects {
        let restart = Operation::RestartCoordinator {
            after_effect,
            for_ms: 700,
        };
        ends_well_with(scenario.clone(), restart, Fault::RestartedCoordinator);
    }
    for hospital in 1..=scenario.size {
        let (effects, writes) = cohort.effects_and_writes(hospital);
        for after_effect in 1..=effects {
            let restart = Operation::RestartHospital {
                hospital,
                after_effect,
                for_ms: 700,
            };
            ends_well_with(scenario.clone(), restart, Fault::RestartedVault);
        }
        for after_write in 0..writes {
            let restart = Operation::RestartAtWrite {
                hospital,
                after_write,
                for_ms: 700,
            };
            ends_well_with(scenario.clone(), restart, Fault::StoppedWrite);
        }
    }
}

#[test]
fn a_hospital_that_ends_after_any_of_its_effects_or_before_any_of_its_writes_goes_on_from_its_disk()
{
    let scenario = small_scenario();
    let mut cohort = scenario.cohort();
    let undisturbed = scenario.play_with(&mut cohort);
    assert_eq!(undisturbed.ending, Ending::Complete, "{undisturbed:?}");
    for hospital in 1..=scenario.size {
        let (effects, writes) = cohort.effects_and_writes(hospital);
        assert!(
            effects > 30 && writes > 15,
            "{effects} effects, {writes} writes"
        );
        for after_effect in 1..=effects {
            let restart = Operation::RestartHospital {
                hospital,
                after_effect,
                for_ms: 700,
            };
            ends_well_with(scenario.clone(), restart, Fault::RestartedVault);
        }
        for after_write in 0..writes {
            let restart = Operation::RestartAtWrite {
                hospital,
                after_write,
                for_ms: 700,
            };
            ends_well_with(scenario.clone(), restart, Fault::StoppedWrite);
        }
    }
}

/// The plaintext run that the cohort compares every opening with goes through all rounds and never ends early.
#[test]
fn a_hospital_that_ends_at_any_time_goes_on_with_the_moments_of_the_servers_optimiser() {
    for strategy in [Strategy::FEDAVGM, Strategy::FEDADAM, Strategy::FEDYOGI] {
        let mut scenario = small_scenario();
        scenario.manifest.strategy = strategy;
        scenario.manifest.rounds = 3;
        let play = |operations: Vec<Operation>| {
            let scenario = Scenario {
                operations,
                ..scenario.clone()
            };
            let mut cohort = scenario.cohort();
            let report = scenario.play_with(&mut cohort);
            assert_eq!(report.ending, Ending::Complete, "{strategy}: {report:?}");
            let contributors = cohort.contributors(Purpose::Update);
            let model = cohort.completed().expect("nobody is missing");
            (contributors, model, cohort.effects_and_writes(2))
        };
        let (all, model, (effects, writes)) = play(vec![]);
        assert_eq!(all, vec![vec![1, 2, 3]; 3]);
        let (hospital, for_ms) = (2, 700);
        let ends = (1..=effects)
            .step_by(3)
            .map(|after_effect| Operation::RestartHospital {
                hospital,
                after_effect,
                for_ms,
            });
        let stops = (0..writes)
            .step_by(2)
            .map(|after_write| Operation::RestartAtWrite {
                hospital,
                after_write,
                for_ms,
            });
        let mut alike = 0;
        for operation in ends.chain(stops) {
            let (contributors, restarted, _) = play(vec![operation.clone()]);
            if contributors == all {
                assert_eq!(restarted, model, "{strategy}: {operation:?}");
                alike += 1;
            }
        }
        assert!(alike > 20, "{alike} runs with the same contributors");
    }
}

#[test]
fn a_seed_is_played_the_same_way_every_time() {
    for seed in [3, 14, 159] {
        let scenario = Scenario::of_seed(seed);
        assert_eq!(scenario.play(), scenario.play(), "seed {seed}");
    }
}

/// Three hospitals come back to a coordinator that has stood still, and offer again what they had for a round that is given up
/// meanwhile; the next round's contributions come while those are on their way, and are refused. Nothing would bring them again.
#[test]
fn contributions_beside_earlier_ones_would_be_refused_and_waited_for_without_end() {
    let mut scenario = Scenario::of_seed(4);
    let stands_still = |after_effect, for_ms| Operation::SuspendCoordinator {
        after_effect,
        for_ms,
        loses_connections: true,
    };
    scenario.operations = vec![
        Operation::Cut {
            hospital: 1,
            at: 60,
        },
        stands_still(105, 13_806),
        stands_still(110, 15_492),
    ];
    let mut cohort = scenario.cohort();
    cohort.uploads_side_by_side = true;
    let report = scenario.play_with(&mut cohort);
    assert!(
        matches!(report.violations[..], [Violation::Unexplained { .. }]),
        "{report:?}"
    );
    assert_eq!(scenario.play().ending, Ending::Complete);
}

fn describe(scenario: &Scenario) {
    let mut text = format!("{} hospitals, {:#?}", scenario.size, scenario.manifest);
    for operation in &scenario.operations {
        text.push_str(&format!("\n{operation:?}"));
    }
    say(&text);
}

/// What a test that passes has to tell: with --nocapture.
fn say(text: &str) {
    use std::io::Write;
    // A closed standard error is no reason to fail.
    let _ = writeln!(std::io::stderr(), "{text}");
}
