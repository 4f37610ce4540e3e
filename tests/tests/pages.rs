//! The pages of an operator and of a hospital in a real browser: a run is started, approved, paused and watched to its end there.

use std::{fs, thread, time::Duration};

use system_tests::{
    Federation, Running,
    browser::Browser,
    program, run,
    site::{Site, press, site, wait_for_words},
    stderr,
};

const PATIENCE: Duration = Duration::from_secs(240);

/// A hospital's own line is drawn beside that of all, and the heat of the model over slices of its patients, for who has the token.
fn assert_shows_this_hospital_alone(page: &Site, browser: &mut Browser) {
    for line in ["all", "here"] {
        for chart in ["loss", "accuracy"] {
            browser.wait_until(&format!(
                "document.querySelectorAll('#{chart}-chart circle.{line}').length >= 2"
            ));
        }
    }
    // A handful of patients are validated with.
    wait_for_words(browser, "#own-caution", "Accuracy of this hospital");
    browser.wait_until("document.querySelectorAll('#heat figure').length > 0");
    // Where it is not grey there is heat.
    browser.wait_until(
        "[...document.querySelectorAll('#heat canvas[id^=heat-]')].some((drawn) => {
            const copy = new OffscreenCanvas(128, 128).getContext('2d', { willReadFrequently: true });
            copy.drawImage(drawn, 0, 0);
            const { data } = copy.getImageData(0, 0, 128, 128);
            return data.some((value, place) => place % 4 === 0 && value > data[place + 1]);
        })",
    );
    let labels = browser.value(
        "[...document.querySelectorAll('#heat canvas')].map((drawn) => drawn.getAttribute('aria-label')).join('; ')",
    );
    let labels = labels.as_str().expect("text");
    for words in ["patient 1", "true class", "predicted class", "probability"] {
        assert!(labels.contains(words), "{words} is not in {labels}");
    }
    wait_for_words(browser, "#heat-section", "Not for diagnosis");
    wait_for_words(browser, "#heat-section", "Images of patients");
    let shown = browser.value(
        "fetch('/api/heat').then((answer) => answer.json()).then(({ learning_round }) => learning_round)",
    );
    let first = format!("/api/heat/{shown}/1");
    let answered = browser.value(&format!(
        "fetch('{first}').then(async (answer) => [answer.headers.get('cache-control'), (await answer.arrayBuffer()).byteLength].join(' '))"
    ));
    assert_eq!(answered, "no-store 32768");
    for path in ["/api/heat", &first] {
        for token in [&"0".repeat(64), ""] {
            let refused = page.get(path, token);
            assert!(refused.starts_with("HTTP/1.1 401"), "{path}: {refused}");
        }
    }
    let state = page.get("/api/state", &page.token);
    assert!(
        state.contains("\"own\":[{") && state.contains("\"heat\":{"),
        "{state}"
    );
    let body = state.split_once("\r\n\r\n").expect("an answer").1;
    let body = body.get(body.find('{').expect("an object")..=body.rfind('}').expect("one"));
    let state: serde_json::Value = serde_json::from_str(body.expect("text")).expect("JSON");
    let heat = state["heat"].as_object().expect("pictures were made");
    let keys: Vec<_> = heat.keys().collect();
    assert_eq!(keys, ["at", "learning_round", "slices"], "and no picture");
    assert!(heat["slices"].is_u64(), "a number of them");
}

#[test]
fn a_run_is_started_approved_paused_and_watched_to_its_end_in_a_browser() {
    let (Some(mut operator), Some(mut steward)) = (Browser::start(), Browser::start()) else {
        eprintln!("skipped: there is no chromium");
        return;
    };
    let federation = Federation::new(3).with_phantom(3, 12, 4);
    let third = federation.hospital(3).join("participant.toml");
    federation.edit(&third, "approval = \"automatic\"", "approval = \"ask\"");
    let coordinator = federation.path().join("coordinator");
    let config = coordinator.join("coordinator.toml");
    let home = tempfile::tempdir().expect("a folder");
    let settings = home.path().join("run.toml");
    let hostile = "<img src=x onerror=alert(1)>";
    let text = format!(
        "[run]\nname = \"{hostile}\"\nrounds = 6\nlocal_epochs = 2\nround_timeout_secs = 20\n"
    );
    fs::write(&settings, text).expect("written");
    let mut sign = program("coordinator");
    sign.args(["run", "sign"]).arg(&settings).arg("--key");
    sign.arg(coordinator.join("keys/operator.key"));
    sign.arg("--roster").arg(coordinator.join("roster.json"));
    let signed = run(&mut sign);
    assert!(signed.status.success(), "{}", stderr(&signed));
    fs::remove_file(coordinator.join("keys/operator.key")).expect("it was there");

    let mut serve = program("coordinator");
    serve.args([
        "serve",
        "--web",
        "127.0.0.1:0",
        "--set",
        "serve_outcomes_secs=2",
        "--config",
    ]);
    let serving = Running::start("coordinator", serve.arg(&config));
    let page = site(&serving);
    let healthy = page.get("/healthz", "");
    assert!(healthy.starts_with("HTTP/1.1 200"), "{healthy}");
    for path in ["/metrics", "/api/state", "/api/events"] {
        let refused = page.get(path, &"0".repeat(64));
        assert!(refused.starts_with("HTTP/1.1 401"), "{path}: {refused}");
    }
    page.log_in(&mut operator);
    wait_for_words(&mut operator, "#hospitals", "hospital 3");

    // The operator begins the run.
    let hospitals: Vec<_> = (1..=3)
        .map(|number| {
            let mut command = federation.participant(number);
            command.args(["--web", "127.0.0.1:0"]);
            Running::start(format!("hospital {number}"), &mut command)
        })
        .collect();
    operator.choose_file("#start-file", &home.path().join("run.signed.json"));
    press(&mut operator, "#start-button");
    press(&mut operator, "#dialog-ok");
    wait_for_words(&mut operator, "#run-name", hostile);

    // The third hospital is asked.
    let hospital_page = site(&hospitals[2]);
    hospital_page.log_in(&mut steward);
    press(&mut steward, ".approve");
    press(&mut steward, "#dialog-ok");
    wait_for_words(&mut steward, "#offered-runs", "the web page");

    // Paused, no further sum is opened; it goes on. By then the model was evaluated twice.
    wait_for_words(&mut operator, "#rounds", "training 3");
    press(&mut operator, "#pause-button");
    wait_for_words(&mut operator, "#run-alert", "paused");
    wait_for_words(&mut operator, "#run-phase", "Waiting");
    let metrics = page.get("/metrics", &page.token);
    for line in [
        "myelin_run_paused 1",
        "myelin_hospital_connected{hospital=\"3\",name=\"hospital 3\"} 1",
        "# EOF",
    ] {
        assert!(metrics.contains(line), "{line} is not in {metrics}");
    }
    let sums =
        |operator: &mut Browser| operator.value("document.querySelectorAll('#rounds svg').length");
    let before = sums(&mut operator);
    thread::sleep(Duration::from_secs(3));
    assert_eq!(sums(&mut operator), before);
    steward.wait_until("document.querySelector('#ledger-head').textContent.length === 64");
    wait_for_words(&mut steward, "#ledger", "seal");
    wait_for_words(&mut steward, "#round-rows", "1");
    assert_shows_this_hospital_alone(&hospital_page, &mut steward);
    hospital_page.assert_sound(&mut steward, "hospital");
    page.assert_sound(&mut operator, "coordinator");
    // From here on the hospital's page goes away with its program, which its console tells.
    drop(steward);
    press(&mut operator, "#pause-button");

    // To its end.
    for hospital in hospitals {
        let (is_well, line) = hospital.finish(PATIENCE);
        assert!(is_well, "{line}");
    }
    wait_for_words(&mut operator, "#past-runs", "complete");
    press(&mut operator, "#transcript-button");
    wait_for_words(
        &mut operator,
        "#transcript-said",
        "13 rounds in 1 session hold",
    );
    page.assert_sound(&mut operator, "coordinator-after");

    // The same from a terminal.
    let ask = |what: &[&str]| {
        let mut command = program("coordinator");
        let output = run(command.args(what).arg("--config").arg(&config));
        assert!(output.status.success(), "{}", stderr(&output));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let list: serde_json::Value =
        serde_json::from_str(&ask(&["run", "list", "--format", "json"])).expect("JSON");
    let id = list["runs"][0]["run"].as_str().expect("an ID").to_owned();
    let shown: serde_json::Value =
        serde_json::from_str(&ask(&["run", "show", &id[..8], "--format", "json"])).expect("JSON");
    assert_eq!(shown["sums"].as_array().map(Vec::len), Some(13));
    assert_eq!(shown["settings"]["rounds"], "6");
    assert!(ask(&["run", "show", &id[..8]]).contains("complete"));
    let logs = ask(&["run", "log", &id[..8]]);
    for words in [
        "the run has begun",
        "sum 13 is settled",
        "hospital 3 has connected",
    ] {
        assert!(logs.contains(words), "{logs}");
    }
}
