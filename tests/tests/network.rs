//! Runs of separate processes over networks with faults: each ends with one model everywhere.

use std::{
    thread,
    time::{Duration, Instant},
};

use system_tests::{
    Federation, Parties,
    udp_relay::{Line, UdpRelay},
};

const PATIENCE: Duration = Duration::from_secs(400);

/// So long a hospital is waited for that has fallen silent.
const SILENCE_SECS: u32 = 6;

/// Three hospitals, each behind a relay.
struct Town {
    federation: Federation,
    relays: Vec<UdpRelay>,
    parties: Parties,
}

impl Town {
    fn start(rounds: u32, line: Line) -> Self {
        Self::start_with(rounds, line, &[])
    }

    fn start_with(rounds: u32, line: Line, settings: &[&str]) -> Self {
        let federation = Federation::new(HOSPITALS).with_phantom(HOSPITALS, 12, 2);
        let relays: Vec<_> = (1..=HOSPITALS)
            .map(|number| UdpRelay::to(federation.address(), number.into()))
            .collect();
        for relay in &relays {
            relay.set(line);
        }
        let mut serve = federation.serve(rounds, SILENCE_SECS);
        for setting in settings.iter().chain(&["serve_outcomes_secs=300"]) {
            serve.args(["--set", setting]);
        }
        let behind = |(number, relay)| federation.participant_behind(relay, number);
        let parties = Parties::start(&mut serve, (1..).zip(&relays).map(behind));
        Self {
            federation,
            relays,
            parties,
        }
    }

    /// The line of a hospital.
    fn relay(&self, number: u8) -> &UdpRelay {
        &self.relays[usize::from(number) - 1]
    }

    fn wait_until_others_are_done(&self, away: u8) {
        for number in (1..=HOSPITALS).filter(|number| *number != away) {
            self.parties.hospital(number).wait_for(LAST_WORDS, PATIENCE);
        }
    }

    fn finish(self) {
        self.parties.finish(PATIENCE);
        for number in 1..=HOSPITALS {
            let model = self
                .federation
                .hospital(number)
                .join("state/model.safetensors");
            assert!(model.exists(), "hospital {number} has no model");
        }
    }
}

#[test]
fn a_line_that_loses_every_twentieth_datagram_only_takes_longer() {
    let lossy = |delay| Line {
        loss_percent: 5,
        delay: Duration::from_millis(delay),
        ..Line::default()
    };
    let town = Town::start_with(1, lossy(100), &["run.conditioning=none"]);
    for number in 1..=HOSPITALS {
        let hospital = town.parties.hospital(number);
        hospital.wait_for("purpose=\"update\"", PATIENCE);
    }
    // With 100 ms to the other side QUIC's congestion control sends 35 KB in a second over such a line: an update takes 8 minutes.
    for relay in &town.relays {
        relay.set(lossy(2));
    }
    town.finish();
}

#[test]
fn a_line_that_is_cut_for_ten_seconds_in_mid_upload_costs_nothing() {
    let town = Town::start(1, Line::default());
    // Keys and the statistics take less, the update 17 MB.
    town.relay(2).cut_after(9 << 20, PATIENCE);
    thread::sleep(Duration::from_secs(10));
    town.relay(2).restore();
    town.finish();
}

#[test]
fn a_hospital_whose_port_changes_every_two_seconds_stays_in_the_run() {
    let town = Town::start(2, Line::default());
    town.relay(1).rebind_every(Duration::from_secs(2));
    town.finish();
}

#[test]
fn a_line_that_carries_no_datagram_over_1280_bytes_is_enough() {
    let narrow = Line {
        max_datagram_bytes: Some(1280),
        ..Line::default()
    };
    Town::start(1, narrow).finish();
}

#[test]
fn a_hospital_that_is_suspended_for_a_minute_has_the_model_in_the_end() {
    let town = Town::start(3, Line::default());
    let sleeper = town.parties.hospital(3);
    sleeper.wait_for("training: step 1 of", PATIENCE);
    sleeper.signal("STOP");
    let began = Instant::now();
    town.wait_until_others_are_done(3);
    sleep_until(began + Duration::from_secs(60));
    sleeper.signal("CONT");
    town.finish();
}

#[test]
fn a_hospital_that_is_cut_off_over_the_end_of_the_run_fetches_the_last_model() {
    let town = Town::start(3, Line::default());
    let hospital = town.parties.hospital(1);
    hospital.wait_for("round 1: validation accuracy", PATIENCE);
    town.relay(1).cut();
    let began = Instant::now();
    town.wait_until_others_are_done(1);
    sleep_until(began + Duration::from_secs(40));
    assert!(
        !hospital.said().contains(LAST_WORDS),
        "it was cut off too late"
    );
    town.relay(1).restore();
    town.finish();
}

fn sleep_until(moment: Instant) {
    thread::sleep(moment.saturating_duration_since(Instant::now()));
}

const HOSPITALS: u8 = 3;
/// Of a hospital that has opened the last of three updates. An evaluation may be left out: all are over the hospitals of the first.
const LAST_WORDS: &str = "round 3: the common model has been updated";
