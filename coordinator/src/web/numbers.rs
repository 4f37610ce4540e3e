//! What `/metrics` says of a coordinator.

use host::web::{Labels, Metrics};

use super::{look::Look, timeline::Timeline};
use crate::control::{HospitalStatus, Status};

pub(super) fn numbers(look: &Look, timeline: &Timeline) -> Metrics {
    let mut metrics = Metrics::default();
    let status = look.status.as_ref();
    let one = |value: f64| [(Labels::new(), value)];
    metrics.gauge(
        "myelin_coordinator_answers",
        "1 when the coordinator answers, 0 when it does not",
        one(f64::from(u8::from(look.has_answered))),
    );
    metrics.gauge(
        "myelin_run_info",
        "1 for the run under way, with its ID, name and phase",
        status.map(|status| (run_labels(status), 1.0)),
    );
    let of_run = |value: fn(&Status) -> f64| status.map(|status| (Labels::new(), value(status)));
    metrics.gauge(
        "myelin_run_learning_rounds",
        "Learning rounds of the run under way",
        of_run(|status| status.rounds.into()),
    );
    metrics.gauge(
        "myelin_run_learning_round",
        "The learning round at hand, from 1; the number of all plus one when they are done",
        of_run(|status| status.learning_round.unwrap_or(status.rounds + 1).into()),
    );
    metrics.gauge(
        "myelin_run_phase_seconds",
        "So long the run has been in its phase",
        of_run(|status| status.phase_secs as f64),
    );
    metrics.gauge(
        "myelin_run_stands_still",
        "1 when something cannot be written and the run waits for that",
        of_run(|status| f64::from(u8::from(status.stands_still))),
    );
    metrics.gauge(
        "myelin_run_paused",
        "1 when the operator has paused the run",
        of_run(|status| f64::from(u8::from(status.paused))),
    );
    metrics.counter(
        "myelin_sums_settled",
        "Sums that were settled since the program was started",
        [(Labels::new(), timeline.settled())],
    );
    metrics.gauge(
        "myelin_hospital_connected",
        "1 for a hospital that is connected, 0 for one that is not",
        look.members.iter().map(|member| {
            let connected = look.is_connected(member.hospital);
            let labels = hospital_labels(member.hospital, &member.name);
            (labels, f64::from(u8::from(connected)))
        }),
    );
    metrics.gauge(
        "myelin_hospital_certificate_seconds",
        "So much longer a hospital's certificate is valid",
        look.members.iter().filter_map(|member| {
            let left = member.certificate_secs?;
            Some((hospital_labels(member.hospital, &member.name), left as f64))
        }),
    );
    let hospitals = || status.into_iter().flat_map(|status| &status.hospitals);
    metrics.gauge(
        "myelin_hospital_waited_for",
        "1 for a hospital that the run waits for, with what it has to do",
        hospitals().filter_map(|hospital| {
            let mut labels = labels_of(hospital);
            labels.push(("part".to_owned(), hospital.waited_for.clone()?));
            Some((labels, 1.0))
        }),
    );
    metrics.counter(
        "myelin_hospital_received_bytes",
        "Message bytes from a hospital in the run under way",
        hospitals().map(|hospital| (labels_of(hospital), hospital.bytes_up)),
    );
    metrics.counter(
        "myelin_hospital_sent_bytes",
        "Message bytes to a hospital in the run under way",
        hospitals().map(|hospital| (labels_of(hospital), hospital.bytes_down)),
    );
    metrics
}

fn run_labels(status: &Status) -> Labels {
    let label = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    vec![
        label("run", &status.run),
        label("name", &status.name),
        label("phase", &status.phase),
    ]
}

fn labels_of(hospital: &HospitalStatus) -> Labels {
    hospital_labels(hospital.hospital, &hospital.name)
}

fn hospital_labels(hospital: u8, name: &str) -> Labels {
    vec![
        ("hospital".to_owned(), hospital.to_string()),
        ("name".to_owned(), name.to_owned()),
    ]
}
