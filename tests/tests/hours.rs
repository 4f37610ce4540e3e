//! A hospital outside the hours of its policy takes no part, says so, and takes part again when they begin.

use std::{
    process::Command,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use system_tests::{Federation, Running, program, run, stderr};

const PATIENCE: Duration = Duration::from_secs(240);
const HOUR: i64 = 3600;

/// Seconds since 1970.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since
        .expect("after 1970")
        .as_secs()
        .try_into()
        .expect("soon after")
}

/// A moment in UTC, as `date` writes it.
fn utc(moment: i64, format: &str) -> String {
    let mut date = Command::new("date");
    date.args(["-u", "-d", &format!("@{moment}"), &format!("+{format}")]);
    let output = run(&mut date);
    assert!(output.status.success(), "{}", stderr(&output));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// A span between two moments, on a clock that shows UTC.
fn span(from: i64, to: i64) -> String {
    format!("policy.hours={}-{}", utc(from, "%H:%M"), utc(to, "%H:%M"))
}

/// What `participant status` tells, once it tells these words: it looks every second.
fn status_with(federation: &Federation, hospital: u8, words: &str) -> String {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let mut command = program("participant");
        command.args(["status", "--config"]);
        let told = run(command.arg(federation.hospital(hospital).join("participant.toml")));
        assert!(told.status.success(), "{}", stderr(&told));
        let told = String::from_utf8_lossy(&told.stdout).into_owned();
        if told.contains(words) {
            return told;
        }
        assert!(Instant::now() < deadline, "{told}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn a_hospital_outside_its_hours_says_until_when_and_ends_at_once() {
    // Neither data nor a coordinator are looked for.
    let federation = Federation::new(2);
    let hours = span(now() + 3 * HOUR, now() + 5 * HOUR);
    let mut command = federation.participant(1);
    command.env("TZ", "UTC0").args(["--set", &hours]);
    let mut hospital = Running::start("hospital 1", &mut command);
    hospital.wait_for(
        "outside the hours in which this hospital takes part",
        PATIENCE,
    );
    let until = utc(now() + 3 * HOUR, "%Y-%m-%d");
    assert!(hospital.said().contains(&until), "{}", hospital.said());
    let told = status_with(&federation, 1, "is outside its hours (policy.hours) until");
    assert!(told.contains("not connected"), "{told}");
    // The folder is this one's, though it rests.
    let second = run(&mut command);
    assert_eq!(second.status.code(), Some(2), "{}", stderr(&second));
    let in_use = "another participant is using the state folder";
    assert!(stderr(&second).contains(in_use), "{}", stderr(&second));
    hospital.signal("TERM");
    assert_eq!(
        hospital.exit_status(Duration::from_secs(10)).code(),
        Some(3)
    );
    assert!(!hospital.said().contains("waiting for the coordinator"));
}

#[test]
fn a_zone_that_cannot_be_found_is_an_error_with_the_remedy() {
    let federation = Federation::new(2);
    let mut command = federation.participant(1);
    command.env("TZ", "Nowhere/Atlantis");
    let output = run(command.args(["--set", "policy.hours=08:00-09:00"]));
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    let said = stderr(&output);
    assert!(
        said.contains("policy.hours") && said.contains("tzdata"),
        "{said}"
    );
}

/// A zone in which clocks show UTC, but twelve hours more between these moments. Its rules count to the second, where hours count to
/// the minute: so a test need not wait for one.
fn zone_that_jumps(forward: i64, back: i64) -> String {
    let rule = |moment: i64| {
        let day: i64 = utc(moment, "%-j").parse().expect("a day of the year");
        format!("{}/{}", day - 1, utc(moment, "%H:%M:%S"))
    };
    // Each is told on the clock as it shows before.
    format!("AAA0BBB-12,{},{}", rule(forward), rule(back + 12 * HOUR))
}

#[test]
fn a_hospital_leaves_a_run_when_its_hours_end_and_goes_on_in_it_when_they_begin() {
    const UPDATED: &str = "the common model has been updated";
    let federation = Federation::new(3).with_phantom(3, 12, 4);
    let mut serve = federation.serve(500, 5);
    serve.args(["--set", "run.local_epochs=4"]);
    let coordinator = Running::start("coordinator", &mut serve);
    let others = [1, 2].map(|number| {
        let name = format!("hospital {number}");
        Running::start(name, &mut federation.participant(number))
    });
    for other in &others {
        other.wait_for("connected to the coordinator", PATIENCE);
    }
    let began = now();
    let (end, begin) = (began + 20, began + 35);
    let mut command = federation.participant(3);
    command.env("TZ", zone_that_jumps(end, begin));
    command.args(["--set", &span(began - 2 * HOUR, began + 2 * HOUR)]);
    let mut third = Running::start("hospital 3", &mut command);
    third.wait_for(
        "are over: stopping, to go on when they begin again",
        PATIENCE,
    );
    third.wait_for("takes part (policy.hours): waiting until", PATIENCE);
    status_with(&federation, 3, "is outside its hours");
    third.wait_for(
        "the hours in which this hospital takes part have begun",
        PATIENCE,
    );
    let begun = third.said().lines().count();
    let after = |log: &str| log.lines().skip(begun).any(|line| line.contains(UPDATED));
    let deadline = SystemTime::now() + PATIENCE;
    while !after(&third.said()) {
        assert!(SystemTime::now() < deadline, "{}", third.said());
        std::thread::sleep(Duration::from_millis(100));
    }
    let said = third.said();
    let (before, _) = said.split_once("are over: stopping").expect("it was said");
    assert_eq!(
        before.contains("agreed on their keys"),
        said.contains("going on in the run"),
        "{said}"
    );
    // Who stayed was not disturbed.
    for other in &others {
        assert!(
            !other.said().contains("connecting again"),
            "{}",
            other.said()
        );
    }
    let refused = "turned a peer away";
    assert!(
        !coordinator.said().contains(refused),
        "{}",
        coordinator.said()
    );
    third.signal("TERM");
    assert_eq!(third.exit_status(PATIENCE).code(), Some(3));
}
