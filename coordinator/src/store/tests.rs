//! The store, closed and opened again.

use protocol::{
    digests::RosterHash,
    identity::{Signed, SigningKey},
    manifest::Manifest,
};

use super::{
    schema::{FACTS, SCHEMA},
    *,
};
use crate::settings::RunSettings;

fn manifest() -> Signed<Manifest> {
    let key = SigningKey::from_secret_bytes(&[3; 32]);
    RunSettings::default().signed_manifest(&key)
}

fn roster() -> RosterHash {
    [9; 32].into()
}

#[test]
fn a_run_can_be_queried_after_the_store_was_opened_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("coordinator.sqlite");
    let hospital = HospitalId::new(2).expect("in range");
    let store = Store::open(&path).expect("a new store");
    store.begin_run(&manifest(), &roster()).expect("written");
    store.begin_run(&manifest(), &roster()).expect("written");
    store
        .connected(hospital, SocketAddr::from(([127, 0, 0, 1], 5)))
        .expect("written");
    store
        .opened(RoundNumber::new(1), Purpose::Stats, LearningRound::new(0))
        .expect("written");
    store
        .outcome_out(
            RoundNumber::new(1),
            &[HospitalId::new(1).expect("in range"), hospital],
        )
        .expect("written");
    store.refused(None, "a stranger").expect("written");
    let traffic = TrafficCounts {
        blob_bytes_received: 17,
        ..TrafficCounts::default()
    };
    store
        .disconnected(hospital, "the peer fell silent", traffic)
        .expect("written");
    store
        .end_run(&RunResult::Complete {
            model_hash: &[7; 32].into(),
            early: Some("its operator has ended it"),
        })
        .expect("written");
    drop(store);

    let store = Store::open(&path).expect("the same store");
    let runs = store.runs().expect("two runs");
    let listed = serde_json::to_value(&runs[0]).expect("JSON");
    assert_eq!(
        (&listed["result"], &listed["reason"]),
        (&"complete".into(), &"its operator has ended it".into())
    );
    let history = store.history(&runs[0]).expect("read");
    let events: Vec<_> = history.iter().map(|entry| &entry.event).collect();
    let has =
        |event: HistoryEvent| assert!(events.contains(&&event), "{event:?} is not in {events:?}");
    assert_eq!(events.len(), 7);
    assert_eq!(*events[0], HistoryEvent::Begun);
    has(HistoryEvent::OutcomeOut {
        sum: 1,
        contributors: "1,2".into(),
    });
    has(HistoryEvent::Refused {
        hospital: None,
        reason: "a stranger".into(),
    });
    has(HistoryEvent::Disconnected {
        hospital: 2,
        reason: "the peer fell silent".into(),
        bytes_up: Some(17),
        bytes_down: Some(0),
    });
    assert!(history.is_sorted_by_key(|entry| entry.unix_ms));
    let signed = store.manifest_of(&runs[0]).expect("read");
    assert_eq!(
        signed.map(|signed| hex::encode(signed.digest())),
        Some(runs[0].run.clone())
    );
    let text = |sql: &str| -> String {
        store
            .connection
            .query_row(sql, [], |row| row.get(0))
            .expect("a row")
    };
    assert_eq!(
        text("SELECT purpose || ':' || contributors FROM rounds WHERE run = 2"),
        "stats:1,2"
    );
    assert_eq!(
        text("SELECT reason || ':' || bytes_up FROM connections WHERE hospital = 2"),
        "the peer fell silent:17"
    );
    assert_eq!(
        text("SELECT reason FROM refusals WHERE hospital IS NULL"),
        "a stranger"
    );
    assert_eq!(
        text("SELECT group_concat(coalesce(result, '-')) FROM runs"),
        "-,complete"
    );
    assert_eq!(
        text("SELECT name || model_hash FROM runs WHERE id = 2"),
        format!("demo{}", "07".repeat(32))
    );
}

#[test]
fn facts_are_read_back_in_order_and_belong_to_their_run() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("coordinator.sqlite");
    let facts = [3_u8, 1, 2].map(|name| Fact::Outcome {
        name: [name; 32].into(),
    });
    let store = Store::open(&path).expect("a new store");
    store.begin_run(&manifest(), &roster()).expect("written");
    store.add_fact(&facts[0]).expect("written");
    store.begin_run(&manifest(), &roster()).expect("written");
    for fact in &facts {
        store.add_fact(fact).expect("written");
    }
    drop(store);
    let store = Store::open(&path).expect("the same store");
    assert_eq!(store.facts().expect("read"), facts);
    store
        .execute("UPDATE facts SET bytes = x'05' WHERE id = 4", [])
        .expect("damaged");
    assert!(matches!(store.facts(), Err(StoreError::Fact { .. })));
}

#[test]
fn a_store_of_another_release_is_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("coordinator.sqlite");
    let other = Connection::open(&path).expect("a database");
    other
        .pragma_update(None, "user_version", 9)
        .expect("written");
    drop(other);
    assert!(matches!(
        Store::open(&path),
        Err(StoreError::Version { found: 9, .. })
    ));
    std::fs::write(&path, "not a database").expect("written");
    assert!(matches!(
        Store::open(&path),
        Err(StoreError::Database { .. })
    ));
}

#[test]
fn a_run_without_result_goes_on_and_what_is_told_twice_is_kept_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("coordinator.sqlite");
    let store = Store::open(&path).expect("a new store");
    assert_eq!(store.last_run().expect("read"), None);
    store.begin_run(&manifest(), &roster()).expect("written");
    let hospital = HospitalId::new(2).expect("in range");
    let address = SocketAddr::from(([127, 0, 0, 1], 5));
    store.connected(hospital, address).expect("written");
    drop(store);

    let store = Store::open(&path).expect("the same store");
    let last = store.last_run().expect("read").expect("a run");
    assert_eq!(last.roster, Some(hex::encode(roster())));
    assert_eq!((last.name.as_str(), last.result), ("demo", None));
    store.take_up_run().expect("written");
    let fact = Fact::Outcome {
        name: [1; 32].into(),
    };
    for _ in 0..2 {
        store.add_fact(&fact).expect("written");
        let (round, step) = (RoundNumber::new(1), LearningRound::new(0));
        store.opened(round, Purpose::Stats, step).expect("written");
    }
    assert_eq!(store.facts().expect("read"), [fact]);
    let text = |sql: &str| -> String {
        let row = store.connection.query_row(sql, [], |row| row.get(0));
        row.expect("a row")
    };
    assert_eq!(
        text("SELECT reason FROM connections"),
        "the coordinator was started again"
    );
    assert_eq!(text("SELECT cast(count(*) AS TEXT) FROM rounds"), "1");

    // As a release before this one wrote it.
    store
        .execute("UPDATE runs SET result = 'stopped'", [])
        .expect("written");
    let last = store.last_run().expect("read").expect("a run");
    assert_eq!(last.result, None);
    let reason = "given up";
    store
        .end_run(&RunResult::Abandoned { reason })
        .expect("written");
    let last = store.last_run().expect("read").expect("a run");
    assert_eq!(last.result.as_deref(), Some("abandoned"));
}

#[test]
fn stores_of_older_releases_are_brought_up_to_date() {
    for steps in [&[SCHEMA][..], &[SCHEMA, FACTS]] {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("coordinator.sqlite");
        let older = Connection::open(&path).expect("a database");
        for step in steps {
            older.execute_batch(step).expect("made");
        }
        drop(older);
        for _ in 0..2 {
            let store = Store::open(&path).expect("brought up to date, once");
            store.begin_run(&manifest(), &roster()).expect("written");
            assert!(store.facts().expect("read").is_empty());
        }
    }
}
