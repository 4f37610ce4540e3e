//! The logs of a run, at the level at which somebody looks for a fault: no secret, no patient and no clinical value in them, each line
//! under its run, round and hospital, and nothing said again and again.

use std::{fmt::Write as _, fs, path::PathBuf, time::Duration};

use serde_json::Value;
use system_tests::{Federation, Parties, Running};

const PATIENCE: Duration = Duration::from_secs(240);

/// Patients with names and ages that are nowhere else, in the place of the phantom's table.
struct Patients {
    folder: PathBuf,
    /// What no log may have.
    words: Vec<String>,
}

fn patients(federation: &Federation, hospital: u8) -> Patients {
    let data = federation.hospital(hospital).join("data");
    let folder = federation.hospital(hospital).join("listed");
    fs::create_dir(&folder).expect("made");
    let mut table = String::from("patient,edss,sex,age,image,contrast\n");
    let mut words = Vec::new();
    for (number, entry) in fs::read_dir(&data).expect("a folder").enumerate() {
        let path = entry.expect("an entry").path();
        let name = path.file_name().and_then(|name| name.to_str());
        let Some(id) = name.and_then(|name| name.strip_prefix("Patient-")) else {
            continue;
        };
        let scan = path.join(format!("{id}-Flair.nii"));
        let (known, age) = (
            format!("Vorname-{hospital}-{number}"),
            format!("4{hospital}.90{number}17"),
        );
        let edss = if number % 2 == 0 { 1.5 } else { 5.5 };
        let _ = writeln!(table, "{known},{edss},F,{age},{},FLAIR", scan.display());
        words.extend([known, age[1..].to_owned()]);
    }
    fs::write(folder.join("manifest.csv"), table).expect("written");
    Patients { folder, words }
}

/// The lines of a file that nobody else has: of a PEM the first is everybody's.
fn secret(path: PathBuf) -> Vec<String> {
    let bytes = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    match String::from_utf8(bytes) {
        Ok(text) => {
            let lines = text.lines().map(str::trim);
            lines
                .filter(|line| line.len() > 16 && !line.starts_with("-----"))
                .map(str::to_owned)
                .collect()
        }
        Err(bytes) => vec![hex::encode(bytes.into_bytes())],
    }
}

fn lines(said: &str) -> Vec<Value> {
    let lines = said.lines().map(|line| {
        let line: Value =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(line["timestamp"].is_string(), "{line}");
        line
    });
    lines.collect()
}

/// The span of this name that a line is within.
fn span<'a>(line: &'a Value, name: &str) -> Option<&'a Value> {
    let spans = line["spans"].as_array()?;
    spans.iter().find(|span| span["name"] == name)
}

/// Lines with this message.
fn with<'a>(lines: &'a [Value], message: &str) -> Vec<&'a Value> {
    let found = lines.iter().filter(|line| {
        let said = &line["fields"]["message"];
        said.as_str().is_some_and(|said| said.contains(message))
    });
    let found: Vec<_> = found.collect();
    assert!(!found.is_empty(), "nobody says {message:?}");
    found
}

fn run_of(line: &Value) -> &str {
    let run = span(line, "run").and_then(|run| run["id"].as_str());
    let run = run.unwrap_or_else(|| panic!("of no run: {line}"));
    assert!(run.len() == 16 && hex::decode(run).is_ok(), "{line}");
    run
}

fn hospital_is_in_its_spans(said: &str, number: u8) {
    let lines = lines(said);
    let sealed = with(&lines, "the contribution has been sealed");
    let run = run_of(sealed[0]);
    for line in sealed {
        assert_eq!(run_of(line), run);
        let of_run = span(line, "run").expect("it is there");
        assert_eq!(of_run["hospital"], number, "{line}");
        let round = span(line, "round").unwrap_or_else(|| panic!("of no round: {line}"));
        assert_eq!(round["number"], line["fields"]["round"], "{line}");
        assert_eq!(round["purpose"], line["fields"]["purpose"], "{line}");
    }
    for line in with(&lines, "training: step") {
        assert_eq!(run_of(line), run);
        assert_eq!(span(line, "round").expect("one")["purpose"], "update");
    }
}

fn coordinator_is_in_its_spans(said: &str) {
    let lines = lines(said);
    let run = run_of(with(&lines, "waiting for all hospitals to join")[0]);
    for line in lines.iter().filter(|line| line["fields"]["round"].is_u64()) {
        assert_eq!(run_of(line), run);
        let round = span(line, "round").unwrap_or_else(|| panic!("of no round: {line}"));
        assert_eq!(round["number"], line["fields"]["round"], "{line}");
    }
    let about_hospitals = [
        "a hospital has connected",
        "a hospital has joined",
        "a contribution is complete",
        "a hospital has gone",
    ];
    for message in about_hospitals {
        for line in with(&lines, message) {
            assert_eq!(run_of(line), run);
            let hospital = span(line, "hospital").unwrap_or_else(|| panic!("of nobody: {line}"));
            let number = hospital["number"].to_string();
            assert_eq!(line["fields"]["hospital"], number, "{line}");
        }
    }
    for line in with(&lines, "a hospital has joined") {
        let name = span(line, "hospital").expect("it is there")["name"].as_str();
        assert!(name.is_some_and(|name| !name.is_empty()), "{line}");
    }
}

/// It comes several times a second, and for as long as the other one is there.
#[test]
fn a_second_participant_of_a_hospital_has_one_line_in_the_coordinators_log() {
    let federation = Federation::new(2).with_phantom(2, 8, 1);
    let coordinator = Running::start("coordinator", &mut federation.serve(1, 30));
    coordinator.wait_for("waiting for all hospitals", PATIENCE);
    let first = Running::start("hospital 1", &mut federation.participant(1));
    coordinator.wait_for("a hospital has joined", PATIENCE);
    let mut command = federation.participant(1);
    command
        .arg("--state")
        .arg(federation.path().join("another"));
    let mut second = Running::start("hospital 1 again", &mut command);
    let status = second.exit_status(PATIENCE);
    assert_eq!(status.code(), Some(1), "{}", second.said());
    let attempts = second.said().matches("lost the connection").count();
    assert!(attempts > 3, "{}", second.said());
    let said = coordinator.said();
    let refused = said.matches("refused a second connection").count();
    assert_eq!(refused, 1, "{said}");
    assert!(said.contains("hospital{number=1 name="), "{said}");
    assert!(said.contains(" INFO run{id="), "{said}");
    drop(first);
}

#[test]
fn a_log_has_no_secret_no_patient_and_no_clinical_value() {
    let federation = Federation::new(3).with_phantom(3, 12, 2);
    let mut unwanted = Vec::new();
    let hospitals: Vec<_> = (1..=3)
        .map(|number| {
            let patients = patients(&federation, number);
            let mut command = federation.participant(number);
            command.args(["--log-format", "json", "--log-level", "debug"]);
            command.args(["--web", "127.0.0.1:0", "--data"]);
            command.arg(&patients.folder);
            unwanted.extend(patients.words);
            command
        })
        .collect();
    let mut serve = federation.serve(1, 30);
    serve.args(["--log-format", "json", "--log-level", "debug"]);
    serve.args(["--web", "127.0.0.1:0"]);
    let parties = Parties::start(&mut serve, hospitals);
    parties
        .hospital(1)
        .wait_for("the filters for this model", PATIENCE);
    for number in 1..=3 {
        let hospital = federation.hospital(number);
        for file in [
            "keys/signing.key",
            "keys/tls.key",
            "state/host.key",
            "state/web.token",
        ] {
            unwanted.extend(secret(hospital.join(file)));
        }
    }
    let coordinator = federation.path().join("coordinator");
    for file in [
        "keys/signing.key",
        "keys/operator.key",
        "keys/tls.key",
        "state/web.token",
    ] {
        unwanted.extend(secret(coordinator.join(file)));
    }
    assert!(unwanted.len() > 40, "{}", unwanted.len());

    let Parties {
        mut coordinator,
        hospitals,
    } = parties;
    let mut said = String::new();
    for (number, mut hospital) in (1..).zip(hospitals) {
        assert!(
            hospital.exit_status(PATIENCE).success(),
            "{}",
            hospital.said()
        );
        hospital_is_in_its_spans(&hospital.said(), number);
        said += &hospital.said();
        said.push('\n');
    }
    assert!(coordinator.exit_status(PATIENCE).success());
    coordinator_is_in_its_spans(&coordinator.said());
    said += &coordinator.said();
    assert!(said.contains("the contribution has been sealed"));
    // There are patients of both classes of this run. Of other tasks' classes there are not.
    assert!(!said.contains("can learn this class only"), "{said}");
    assert!(!said.contains("turned a peer away"), "{said}");
    for word in unwanted {
        assert!(!said.contains(&word), "{word} is in a log");
    }
}
