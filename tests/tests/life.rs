//! A federation's whole life with real processes: it is founded by hospitals that make their own keys, runs, changes its members, and
//! runs again from the model that it has.

use std::{
    fs,
    net::UdpSocket,
    path::{Path, PathBuf},
    process::Output,
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use system_tests::{
    Running,
    browser::Browser,
    program, run,
    site::{site, wait_for_words},
    stderr, text_field,
};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(240);

/// Folders of all parties, which share nothing but what they send each other.
struct World {
    folder: TempDir,
}

fn words(output: &Output) -> String {
    assert!(output.status.success(), "{}", stderr(output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn refusal(output: &Output) -> String {
    assert!(
        !output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
    stderr(output)
}

/// A second after it was made, a year is 364 whole days.
fn is_of_a_year(said: &str) -> bool {
    said.contains("365 days") || said.contains("364 days")
}

impl World {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn coordinator(&self, what: &[&str]) -> Output {
        let mut command = program("coordinator");
        let config = self.path("coordinator/coordinator.toml");
        run(command.args(what).arg("--config").arg(config))
    }

    fn hospital(&self, number: u8) -> PathBuf {
        self.path(&format!("hospital-{number}"))
    }

    fn participant(&self, number: u8, what: &[&str]) -> Output {
        let mut command = program("participant");
        let config = self.hospital(number).join("participant.toml");
        run(command.args(what).arg("--config").arg(config))
    }

    fn start_participant(&self, number: u8) -> Running {
        let mut command = program("participant");
        command.arg("run").arg("--config");
        command.arg(self.hospital(number).join("participant.toml"));
        Running::start(format!("hospital {number}"), &mut command)
    }

    /// Somebody at the hospital agrees to the newest run, for which its program waits.
    fn approve(&self, number: u8, waiting: &Running) {
        waiting.wait_for("waits for this hospital's approval", PATIENCE);
        let listed = words(&self.participant(number, &["runs", "list", "--format", "json"]));
        let listed: Value = serde_json::from_str(&listed).expect("JSON");
        let newest = listed["runs"].as_array().and_then(|runs| runs.last());
        let newest = newest.expect("a run was offered");
        assert_eq!(newest["state"], "waiting");
        let id = newest["run"].as_str().expect("an ID");
        words(&self.participant(number, &["approve", &id[..16]]));
    }

    /// The token is the last line.
    fn invite(&self, name: &str) -> String {
        let said = words(&self.coordinator(&["invite", name]));
        said.lines().last().expect("a token").to_owned()
    }

    fn join(&self, number: u8, token: &str) -> Output {
        let mut join = program("participant");
        join.args(["join", token, "--no-wait"]);
        run(join.arg(self.hospital(number)))
    }

    /// From the invitation to the certificate; the words go from one person to the other.
    fn admit(&self, number: u8, name: &str) {
        let token = self.invite(name);
        let said = words(&self.join(number, &token));
        let fingerprint = said.lines().nth(1).expect("the words").trim();
        let wrong = self.coordinator(&["approve", name, "--fingerprint", "eight other words"]);
        assert!(refusal(&wrong).contains("not the words"));
        let approve = ["approve", name, "--fingerprint", fingerprint];
        let said = words(&self.coordinator(&approve));
        assert!(
            said.contains(&format!("{name} is hospital {number}")),
            "{said}"
        );
        let said = words(&self.join(number, &token));
        assert!(
            said.contains(&format!("joined, as hospital {number}")),
            "{said}"
        );
        let keys = words(&self.participant(number, &["keys", "show"]));
        assert!(keys.contains(fingerprint) && is_of_a_year(&keys), "{keys}");
    }

    /// Compared by telephone, and signed.
    fn sign_roster(&self, number: u8) {
        let shown = words(&self.participant(number, &["roster", "show", "--format", "json"]));
        let fingerprint = text_field(&shown, "fingerprint").expect("words");
        let of_coordinator = words(&self.coordinator(&["roster", "show"]));
        assert!(of_coordinator.contains(&fingerprint), "{of_coordinator}");
        let sign = ["roster", "sign", "--fingerprint", &fingerprint];
        words(&self.participant(number, &sign));
    }

    /// Signed where the operator is. Gives the file.
    fn sign(&self, name: &str, more: &str) -> String {
        let settings = self.path(&format!("operator/{name}.toml"));
        let text =
            format!("[run]\nname = \"{name}\"\nlocal_epochs = 1\nround_timeout_secs = 20\n{more}");
        fs::write(&settings, text).expect("written");
        let mut sign = program("coordinator");
        sign.args(["run", "sign"]).arg(&settings);
        sign.arg("--key").arg(self.path("operator/operator.key"));
        let roster = self.path("coordinator/roster.json");
        words(&run(sign.arg("--roster").arg(roster)));
        let signed = self.path(&format!("operator/{name}.signed.json"));
        signed.to_str().expect("text").to_owned()
    }

    /// A run that its coordinator has begun, and these hospitals: each agrees, and all are there to its end. Gives the hash of the model.
    fn play(&self, hospitals: Vec<(u8, Running)>) -> String {
        for (number, waiting) in &hospitals {
            self.approve(*number, waiting);
        }
        let participants = hospitals.into_iter().map(|(_, participant)| participant);
        let ended = participants.map(|one| one.finish(PATIENCE));
        let hashes = ended.map(|(is_well, line)| {
            assert!(is_well, "{line}");
            text_field(&line, "model_hash").expect("a hash")
        });
        let mut hashes: Vec<_> = hashes.collect();
        hashes.dedup();
        assert_eq!(hashes.len(), 1, "one model");
        hashes.remove(0)
    }

    /// Begun where the coordinator is.
    fn begin(&self, signed: &str) {
        let said = words(&self.coordinator(&["run", "start", signed]));
        assert!(said.contains("the run begins"), "{said}");
    }

    /// A run that the second hospital's policy refuses, until somebody there allows it; the operator watches the page.
    fn first_run(&self, coordinator: &Running) -> String {
        let settings = self.hospital(2).join("participant.toml");
        let text = fs::read_to_string(&settings).expect("settings");
        let strict = text.replacen("max_rounds = 1000", "max_rounds = 2", 1);
        assert_ne!(strict, text);
        fs::write(&settings, strict).expect("written");
        let signed = self.sign("first", "rounds = 3\n");
        let start = |number| (number, self.start_participant(number));
        let (one, (_, mut strict), three) = (start(1), start(2), start(3));
        self.begin(&signed);
        assert_eq!(strict.exit_status(PATIENCE).code(), Some(2));
        let said = strict.said();
        assert!(said.contains("policy.max_rounds"), "{said}");
        let listed = words(&self.participant(2, &["runs", "list"]));
        assert!(listed.contains("refused: policy.max_rounds"), "{listed}");
        fs::write(&settings, text).expect("written");
        let mut browser = Browser::start();
        if let Some(browser) = &mut browser {
            site(coordinator).log_in(browser);
            wait_for_words(browser, "#run-name", "first");
        }
        let watch = browser.map(|mut browser| {
            let site = site(coordinator);
            thread::spawn(move || {
                for round in 1..=3 {
                    wait_for_words(&mut browser, "#rounds", &format!("training {round}"));
                }
                wait_for_words(&mut browser, "#past-runs", "complete");
                site.assert_sound(&mut browser, "life");
            })
        });
        let model = self.play(vec![one, start(2), three]);
        match watch {
            Some(watch) => watch.join().expect("the page has shown it"),
            None => eprintln!("not watched: there is no chromium"),
        }
        model
    }

    /// Every entry of what has left a hospital, for its records.
    fn export_ledger(&self, number: u8) {
        let file = self.path("ledger.csv");
        let name = file.to_str().expect("text");
        words(&self.participant(number, &["ledger", "export", name]));
        let table = fs::read_to_string(&file).expect("a table");
        let summary = words(&self.participant(number, &["ledger", "--format", "json"]));
        let summary: Value = serde_json::from_str(&summary).expect("JSON");
        let entries = summary["entries"].as_u64().expect("a number");
        assert!(entries > 50, "{entries}");
        assert_eq!(table.lines().count() as u64, 1 + entries);
        words(&self.participant(number, &["ledger", "verify"]));
    }
}

#[test]
fn a_federation_is_founded_runs_changes_its_members_and_runs_again() {
    let world = World {
        folder: tempfile::tempdir().expect("a folder"),
    };
    let mut phantom = program("experiments");
    phantom.arg("phantom").arg(world.folder.path());
    phantom.args(["--hospitals", "4", "--patients", "16", "--slices", "4"]);
    words(&run(&mut phantom));
    let port = UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
    let port = port.expect("a free port").port();
    let mut init = program("coordinator");
    init.args(["init", "--name", "MS study"]);
    init.args(["--listen", &format!("127.0.0.1:{port}")]);
    init.args(["--public", &format!("localhost:{port}")]);
    words(&run(init.arg(world.path("coordinator"))));
    let mut operator = program("coordinator");
    words(&run(operator
        .args(["operator", "init"])
        .arg(world.path("operator"))));

    let mut serve = program("coordinator");
    serve.args(["serve", "--set", "serve_outcomes_secs=5"]);
    serve.args(["--web", "127.0.0.1:0", "--config"]);
    serve.arg(world.path("coordinator/coordinator.toml"));
    let coordinator = Running::start("coordinator", &mut serve);
    coordinator.wait_for("no run is under way", PATIENCE);

    // Founded: three join, and each signs.
    for (number, name) in [(1, "St. Mary's"), (2, "Charité"), (3, "Karolinska")] {
        world.admit(number, name);
    }
    let requests = words(&world.coordinator(&["requests"]));
    assert!(requests.contains("nobody has asked"), "{requests}");
    let operator = world.path("operator/operator.pub");
    let draft = [
        "roster",
        "draft",
        "--operator",
        operator.to_str().expect("text"),
    ];
    words(&world.coordinator(&draft));
    world.sign_roster(1);
    world.sign_roster(2);
    let early = refusal(&world.coordinator(&["roster", "publish"]));
    assert!(early.contains("Karolinska"), "{early}");
    let unpublished = refusal(&world.participant(3, &["roster", "fetch"]));
    assert!(unpublished.contains("no such roster yet"), "{unpublished}");
    world.sign_roster(3);
    words(&world.coordinator(&["roster", "publish"]));
    coordinator.wait_for("epoch=1", PATIENCE);

    // The first run. Nobody has given the hospitals a roster but the coordinator, and they know it as the one they have signed.
    let first = world.first_run(&coordinator);
    let listed = words(&world.coordinator(&["run", "ls", "--format", "json"]));
    let listed: Value = serde_json::from_str(&listed).expect("JSON");
    assert_eq!(listed["runs"][0]["result"], "complete");
    assert_eq!(listed["runs"][0]["learning_rounds"], 3);
    assert_eq!(listed["runs"][0]["model_hash"], Value::from(first.clone()));
    coordinator_has_no_secret_of_others(&world, &[1, 2, 3]);

    // One leaves, one comes: two of the three before sign, and the new one.
    world.admit(4, "Motol");
    words(&world.coordinator(&["remove", "Charité"]));
    words(&world.coordinator(&["roster", "draft"]));
    for number in [1, 3, 4] {
        world.sign_roster(number);
    }
    words(&world.coordinator(&["roster", "publish"]));
    coordinator.wait_for("epoch=2", PATIENCE);
    let gone = refusal(&world.participant(2, &["roster", "fetch"]));
    assert!(gone.contains("not on the roster"), "{gone}");
    let certificate = || fs::read(world.hospital(1).join("keys/tls.crt")).expect("a certificate");
    let before = certificate();
    let renewed = words(&world.participant(1, &["keys", "renew"]));
    assert!(renewed.contains("is renewed"), "{renewed}");
    assert_ne!(certificate(), before);
    assert!(is_of_a_year(&renewed), "{renewed}");
    let removed = refusal(&world.participant(2, &["keys", "renew"]));
    assert!(removed.contains("removed"), "{removed}");

    // The second run starts from the first one's model, which the new hospital is given as a file.
    let card = fs::read_to_string(world.hospital(1).join("state/model.json")).expect("a card");
    let card: Value = serde_json::from_str(&card).expect("JSON");
    let weights = card["weights_hash"].as_str().expect("a hash");
    let initial = world.hospital(4).join("state/initial");
    fs::create_dir_all(&initial).expect("made");
    let model = world.hospital(1).join("state/model.safetensors");
    fs::copy(model, initial.join("model.safetensors")).expect("copied");
    let more = format!("rounds = 2\ninitial_model = \"{weights}\"\nseed = 2\n");
    let signed = world.sign("second", &more);
    let hospitals = [1, 3, 4].map(|number| (number, world.start_participant(number)));
    world.begin(&signed);
    let second = world.play(hospitals.into());
    assert_ne!(first, second);
    let transcript = world.path("coordinator/state/transcript.jsonl");
    for (party, program_name) in [
        ("coordinator", "coordinator"),
        ("hospital-1", "participant"),
    ] {
        let mut verify = program(program_name);
        verify.args(["transcript", "verify", "--roster"]);
        verify.arg(world.path(party).join("roster.json"));
        let said = words(&run(verify.arg(&transcript)));
        assert!(said.contains(&second[..16]), "{said}");
    }

    world.export_ledger(1);

    a_stopped_run_and_another_roster(&world, &coordinator);
    let listed = words(&world.coordinator(&["run", "list"]));
    assert!(
        listed.contains("second") && listed.contains("first"),
        "{listed}"
    );
    coordinator_has_no_secret_of_others(&world, &[1, 2, 3, 4]);
    let mut coordinator = coordinator;
    coordinator.signal("TERM");
    assert_eq!(coordinator.exit_status(PATIENCE).code(), Some(3));
}

/// A run that its operator stops ends for all, and the coordinator waits for the next one. A hospital that was away then is not held up
/// by what it has kept, once the roster is another one.
fn a_stopped_run_and_another_roster(world: &World, coordinator: &Running) {
    // So many that it is not over before it is stopped.
    let signed = world.sign("third", "rounds = 100\n");
    let [one, mut three, four] = [1, 3, 4].map(|number| world.start_participant(number));
    words(&world.coordinator(&["run", "start", &signed]));
    for (number, waiting) in [(1, &one), (3, &three), (4, &four)] {
        world.approve(number, waiting);
    }
    one.wait_for("agreed on their keys", PATIENCE);
    one.wait_for("training", PATIENCE);
    let unfinished = refusal(&world.coordinator(&["roster", "publish"]));
    assert!(unfinished.contains("\"third\" is not over"), "{unfinished}");
    let status = words(&world.coordinator(&["status", "--format", "json"]));
    let run = text_field(&status, "run").expect("a run");
    let other = refusal(&world.coordinator(&["run", "stop", "00000000"]));
    assert!(other.contains(&run), "{other}");
    // So that no sum is opened in between, without the one that is gone.
    three.signal("STOP");
    one.kill();
    let stopped = world.coordinator(&["run", "stop", &run[..8]]);
    assert!(stopped.status.success(), "{}", coordinator.said());
    three.signal("CONT");
    assert_eq!(three.exit_status(PATIENCE).code(), Some(1));
    let said = three.said();
    assert!(said.contains("operator has stopped"), "{said}");
    drop(four);
    // Until all are told, and the coordinator waits for the next run.
    coordinator.wait_for("the run has failed", PATIENCE);
    let deadline = Instant::now() + PATIENCE;
    loop {
        let again = refusal(&world.coordinator(&["run", "start", &signed]));
        if again.contains("has ended (failed)") {
            break;
        }
        assert!(Instant::now() < deadline, "{again}");
        thread::sleep(Duration::from_millis(200));
    }
    let twice = refusal(&world.coordinator(&["run", "stop", &run[..8]]));
    assert!(twice.contains("no run is under way"), "{twice}");

    words(&world.coordinator(&["roster", "draft"]));
    world.sign_roster(1);
    world.sign_roster(3);
    words(&world.coordinator(&["roster", "publish"]));
    coordinator.wait_for("epoch=3", PATIENCE);
    let one = world.start_participant(1);
    one.wait_for("that run is over", PATIENCE);
    one.wait_for("connected to the coordinator", PATIENCE);
}

/// Neither the operator's key nor any hospital's is in any file of the coordinator.
fn coordinator_has_no_secret_of_others(world: &World, hospitals: &[u8]) {
    let mut secrets = vec![world.path("operator/operator.key")];
    for &number in hospitals {
        let keys = world.hospital(number).join("keys");
        secrets.extend([keys.join("signing.key"), keys.join("tls.key")]);
    }
    let secrets: Vec<_> = secrets
        .iter()
        .map(|path| fs::read_to_string(path).expect("a key"))
        .collect();
    let mut files = Vec::new();
    list(&world.path("coordinator"), &mut files);
    assert!(files.len() > 8, "{files:?}");
    for file in files {
        let bytes = fs::read(&file).expect("readable");
        for secret in &secrets {
            // As text, and of a signing key its 32 bytes too. Of a PEM the first line is everybody's.
            let text = secret.lines().nth(1).unwrap_or(secret).trim();
            let raw = hex::decode(text).unwrap_or_else(|_| text.into());
            for needle in [text.as_bytes(), &raw] {
                let found = bytes.windows(needle.len()).any(|window| window == needle);
                assert!(!found, "{} holds a secret of another party", file.display());
            }
        }
    }
}

fn list(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        match fs::metadata(&path).expect("there").is_dir() {
            true => list(&path, files),
            false if path.ends_with("control.sock") => {}
            false => files.push(path),
        }
    }
}
