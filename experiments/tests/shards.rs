//! Reproductions that several processes do together: the real program, SIGKILL, and the tables beside those of a single process.

mod small_reproduction;

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
};

use serde_json::Value;

use small_reproduction::{
    cells_done, command, refusal, run, succeeds, tables, wait_for_cells, wait_until, with,
};

/// Eight trainings.
fn options() -> Vec<&'static str> {
    with(&["--model", "hybrid,plain", "--split", "patient,slice"])
}

fn shard(out: &Path, options: &[&str], shard: &str) -> Child {
    let arguments = [options, &["--jobs", "1", "--shard", shard]].concat();
    let mut command = command(out, &arguments);
    let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().expect("the program starts")
}

/// Number, name, and whether it is done.
fn list(out: &Path, more: &[&str]) -> Vec<(u64, String, bool)> {
    let output = run(out, &[&["--list", "--format", "json"], more].concat());
    let (printed, _) = succeeds(output);
    let listed: Value = serde_json::from_str(&printed).expect("nothing but JSON");
    assert_eq!(listed["schema"], 1);
    let trainings = listed["trainings"].as_array().expect("a list").iter();
    trainings
        .map(|training| {
            let number = training["number"].as_u64().expect("a number");
            let name = training["name"].as_str().expect("a name").to_owned();
            (number, name, training["done"].as_bool().expect("known"))
        })
        .collect()
}

fn to_do(out: &Path, more: &[&str]) -> Vec<String> {
    let trainings = list(out, more).into_iter();
    trainings
        .filter(|(_, _, done)| !done)
        .map(|(_, name, _)| name)
        .collect()
}

#[test]
fn shards_of_which_one_is_killed_end_with_the_tables_of_a_single_process() {
    let folder = tempfile::tempdir().expect("a folder");
    let [whole, parts] = ["whole", "parts"].map(|name| folder.path().join(name));
    let before = list(&parts, &options());
    assert_eq!(before.len(), 8);
    assert!(!parts.exists(), "who looks makes nothing");

    // Both at once: one begins the run, the other finds it or waits for it.
    let (mut first, second) = (
        shard(&parts, &options(), "1/2"),
        shard(&parts, &options(), "2/2"),
    );
    wait_for_cells(&parts, 1);
    for arguments in [&options()[..], &["--resume"], &["--tables-only"]] {
        let refused = refusal(&parts, arguments);
        let why = if arguments == options() {
            "--resume"
        } else {
            "shards of a run are at work"
        };
        assert!(refused.contains(why), "{refused}");
    }
    first.kill().expect("it runs");
    first.wait().expect("it ends");
    let left = to_do(&parts, &["--shard", "1/2"]);
    assert!(!left.is_empty(), "it was too fast to be killed");
    let (printed, _) = succeeds(second.wait_with_output().expect("it ends"));
    assert!(
        printed.contains("shard 2 of 2: its 4 trainings are done")
            && printed.contains("--tables-only"),
        "{printed}"
    );
    assert_eq!(to_do(&parts, &[]), left);
    assert!(!parts.join("tables.json").exists());

    let refused = refusal(&parts, &["--tables-only"]);
    let count = format!("{} of 8 trainings are missing", left.len());
    for part in [count.as_str(), "binary, original", "--resume"] {
        assert!(refused.contains(part), "{refused}");
    }
    let other = refusal(&parts, &["--shard", "1/2", "--epochs", "3"]);
    assert!(other.contains("epochs was 2, now 3"), "{other}");
    let listed = refusal(&parts, &["--list", "--epochs", "3"]);
    assert!(listed.contains("epochs was 2, now 3"), "{listed}");
    assert!(!listed.contains("--resume"), "it was not given: {listed}");

    // Twice, as after a node that was only thought to be dead: each training is done once.
    let again = [(); 2].map(|()| shard(&parts, &options(), "1/2"));
    let told = again.map(|shard| succeeds(shard.wait_with_output().expect("it ends")).1);
    let told = told.concat();
    assert_eq!(told.matches(": accuracy ").count(), left.len(), "{told}");
    assert_eq!(to_do(&parts, &[]), [""; 0]);
    let (printed, _) = succeeds(run(&parts, &["--shard", "2/2", "--format", "json"]));
    let printed: Value = serde_json::from_str(&printed).expect("nothing but JSON");
    assert_eq!(
        (&printed["shard"], &printed["trainings"]),
        (&2.into(), &4.into())
    );

    succeeds(run(&parts, &["--tables-only"]));
    succeeds(run(&whole, &options()));
    assert!(tables(&whole) == tables(&parts), "the same bytes");
    for name in ["report.html", "pictures/binary-slice-loss.png"] {
        assert!(parts.join(name).exists(), "{name}");
    }
    assert!(!parts.join("locks").exists());
    assert_eq!(list(&whole, &[]).len(), 8);
}

#[cfg(unix)]
#[test]
fn a_shard_that_is_asked_to_stop_ends_with_3_and_goes_on_by_the_command_it_names() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("the run");
    let four = with(&["--model", "plain", "--split", "patient,slice"]);
    let shard = shard(&out, &four, "1/1");
    wait_for_cells(&out, 1);
    let asked = Command::new("kill")
        .args(["-TERM", &shard.id().to_string()])
        .status();
    assert!(asked.expect("asked").success());
    let output = shard.wait_with_output().expect("it ends");
    let errors = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(3), "{errors}");
    let way = format!(
        "to go on: experiments reproduce --out '{}' --shard 1/1",
        out.display()
    );
    assert_eq!(errors.lines().last(), Some(way.as_str()), "{errors}");
    assert!(cells_done(&out) < 4, "it was too fast to be stopped");
    succeeds(run(&out, &["--shard", "1/1"]));
    assert_eq!(cells_done(&out), 4);
    succeeds(run(&out, &["--resume"]));
    assert!(out.join("tables.json").exists());
}

#[test]
fn a_shard_does_not_come_beside_a_run_that_is_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("run");
    let mut alone = command(&out, &options())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    wait_until("no run in time", || out.join("configuration.json").exists());
    let refused = refusal(&out, &["--shard", "1/2"]);
    assert!(
        refused.contains("another run is using this folder"),
        "{refused}"
    );
    alone.kill().expect("it runs");
    alone.wait().expect("it ends");
    // A configuration of another release, as a damaged one, is not written over.
    let text = fs::read_to_string(out.join("configuration.json")).expect("there");
    fs::write(out.join("configuration.json"), &text[..text.len() / 2]).expect("written");
    let refused = refusal(&out, &["--shard", "1/2"]);
    assert!(
        refused.contains("cannot use configuration.json"),
        "{refused}"
    );
}
