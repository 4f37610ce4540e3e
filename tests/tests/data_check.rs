//! `participant data check` on a phantom written as files, sound and spoilt.

use std::{
    fs,
    path::Path,
    process::Output,
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use system_tests::{Federation, Running, program, run, stderr};

const PATIENCE: Duration = Duration::from_secs(120);

fn check(folder: &Path, more: &[&str]) -> Output {
    let mut command = program("participant");
    run(command.args(["data", "check"]).arg(folder).args(more))
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn json_of(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).expect("one JSON object")
}

#[cfg(target_os = "linux")]
#[test]
fn a_check_that_is_stopped_says_what_it_leaves() {
    let federation = Federation::new(2).with_phantom(2, 48, 48);
    let folder = federation.hospital(1).join("data");
    let page = federation.path().join("check.html");
    let mut check = program("participant");
    check.args(["data", "check"]).arg(&folder);
    check
        .args(["--contrasts", "flair,t1,t2", "--html"])
        .arg(&page);
    let mut running = Running::start("check", &mut check);
    let tasks = format!("/proc/{}/task", running.id());
    let listens = || {
        let tasks = fs::read_dir(&tasks).into_iter().flatten().flatten();
        tasks
            .filter_map(|task| fs::read_to_string(task.path().join("comm")).ok())
            .any(|name| name.trim() == "stopping")
    };
    let deadline = Instant::now() + PATIENCE;
    while !listens() {
        assert!(Instant::now() < deadline, "{}", running.said());
        thread::sleep(Duration::from_millis(1));
    }
    running.signal("TERM");
    assert_eq!(running.exit_status(PATIENCE).code(), Some(3));
    running.wait_for(
        "stopped by SIGTERM: nothing is told; no page is written",
        PATIENCE,
    );
    assert!(!page.exists());
}

#[test]
fn a_data_set_is_described_in_counts_and_judged_by_the_exit_code() {
    let federation = Federation::new(2).with_phantom(2, 12, 3);
    let folder = federation.hospital(1).join("data");
    let sound = check(&folder, &["--contrasts", "flair,t1,t2"]);
    assert_eq!(sound.status.code(), Some(0), "{}", stderr(&sound));
    let said = stdout(&sound);
    for words in [
        "6 of 6 rows",
        "t2",
        "6 scans, 18 slices",
        "clean: nothing is left out",
    ] {
        assert!(said.contains(words), "{words} in:\n{said}");
    }
    let found = json_of(&check(&folder, &["--json"]));
    assert_eq!(found["schema"], 3);
    assert_eq!(found["scanners"], json!([{"name": null, "scans": 6}]));
    assert_eq!(found["split_refused"], Value::Null);
    assert_eq!(found["clean"], true);
    assert_eq!(
        (&found["patients"], &found["slices"]),
        (&json!(6), &json!(18))
    );
    let classes = found["tasks"]["binary"]["classes"].as_array().expect("two");
    let patients = classes
        .iter()
        .map(|class| class["patients"].as_u64().expect("a count"));
    assert_eq!(patients.sum::<u64>(), 6);

    // One scan is another patient's, one is cut short, one is gone.
    let scan = |id: &str| folder.join(format!("Patient-{id}/{id}-Flair.nii"));
    let mut ids: Vec<String> = fs::read_dir(&folder)
        .expect("there")
        .filter_map(|entry| {
            let name = entry.expect("readable").file_name().into_string().ok()?;
            Some(name.strip_prefix("Patient-")?.to_owned())
        })
        .collect();
    ids.sort();
    fs::copy(scan(&ids[0]), scan(&ids[1])).expect("copied");
    let bytes = fs::read(scan(&ids[2])).expect("readable");
    fs::write(scan(&ids[2]), &bytes[..bytes.len() / 2]).expect("written");
    fs::remove_file(scan(&ids[3])).expect("removed");
    let spoilt = check(&folder, &["--json"]);
    assert_eq!(spoilt.status.code(), Some(1));
    assert!(
        stderr(&spoilt).contains("3 problems"),
        "{}",
        stderr(&spoilt)
    );
    let found = json_of(&spoilt);
    assert_eq!(
        (&found["patients"], &found["problems"]),
        (&json!(4), &json!(3))
    );
    let twice: Vec<&Value> = found["duplicates"][0]
        .as_array()
        .expect("a pair")
        .iter()
        .map(|name| &name["id"])
        .collect();
    assert_eq!(twice, [&ids[0], &ids[1]]);
    assert_eq!(found["left_out"]["rows_without_images"], json!([ids[3]]));
    let reason = found["left_out"]["bad_files"][0]["reason"].as_str();
    assert!(reason.is_some_and(|reason| reason.starts_with("truncated")));
    let said = stdout(&check(&folder, &[]));
    assert!(
        said.contains("the same scan") && said.contains("problems: 3"),
        "{said}"
    );

    // With one patient less a run would refuse the rest.
    fs::remove_file(scan(&ids[4])).expect("removed");
    let too_few = json_of(&check(&folder, &["--json"]));
    assert_eq!(
        (&too_few["patients"], &too_few["problems"]),
        (&json!(3), &json!(5))
    );
    let why = too_few["split_refused"].as_str().expect("a reason");
    assert!(
        why.contains("3 patients") && why.contains("training.split"),
        "{why}"
    );
    let by_slice = json_of(&check(&folder, &["--json", "--split", "slice"]));
    assert_eq!(by_slice["split_refused"], Value::Null);

    let nowhere = check(&folder.join("nowhere"), &["--json"]);
    assert_eq!(nowhere.status.code(), Some(2));
    assert!(nowhere.stdout.is_empty());
    assert!(stderr(&nowhere).contains("nowhere"));
    let flag = check(&folder, &["--contrasts", "pd"]);
    assert_eq!(flag.status.code(), Some(2));
    assert!(stderr(&flag).contains("flair, t1 or t2"));
}
