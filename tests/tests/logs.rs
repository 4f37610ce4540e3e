//! The logs of a run, at the level at which somebody looks for a fault, have no secret, no patient and no clinical value.

use std::{fmt::Write as _, fs, path::PathBuf, time::Duration};

use system_tests::{Federation, Parties};

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
    for mut hospital in hospitals {
        assert!(
            hospital.exit_status(PATIENCE).success(),
            "{}",
            hospital.said()
        );
        said += &hospital.said();
        said.push('\n');
    }
    assert!(coordinator.exit_status(PATIENCE).success());
    said += &coordinator.said();
    for line in said.lines() {
        let line: serde_json::Value =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(line["timestamp"].is_string(), "{line}");
    }
    assert!(said.contains("the contribution has been sealed"));
    for word in unwanted {
        assert!(!said.contains(&word), "{word} is in a log");
    }
}
