//! The ledger as it is written, read and checked; and what somebody may do to its file.

use std::fs;

use protocol::{digests::LearningRound, manifest::Purpose};
use rusqlite::Connection;
use tempfile::TempDir;

use super::*;

fn recipient() -> Recipient {
    Recipient {
        address: "coordinator.example:7443".into(),
        key: [9; 32],
    }
}

fn object(kind: Kind, protection: Protection) -> Object {
    Object {
        kind,
        sum: None,
        protection,
    }
}

fn contribution() -> Object {
    let sum = Sum {
        purpose: Purpose::Update,
        learning_round: Some(LearningRound::new(3)),
    };
    Object {
        kind: Kind::Contribution,
        sum: Some(sum),
        protection: Protection::Sealed { opened_by: 3 },
    }
}

fn at(second: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(1_700_000_000 + second).expect("in range")
}

struct Book {
    folder: TempDir,
    ledger: Ledger,
}

impl Book {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let ledger = Ledger::open(&folder.path().join(FILE)).expect("made");
        Self { folder, ledger }
    }

    fn path(&self) -> std::path::PathBuf {
        self.folder.path().join(FILE)
    }

    fn leaves(&self, second: i64, object: Object, extent: Extent, byte: u8) {
        let to = recipient();
        let departure = Departure {
            to: &to,
            run: Some([7; 32].into()),
            object,
            sha256: [byte; 32],
            extent,
        };
        let written = self.ledger.record_at(&departure, at(second));
        written.expect("written");
    }

    fn beats(&self, second: i64) {
        let heartbeat = object(Kind::Heartbeat, Protection::NoPatients);
        self.leaves(second, heartbeat, Extent::Whole(5), 1);
    }

    fn joins(&self, second: i64) {
        let join = object(Kind::Join, Protection::SignedPublic);
        self.leaves(second, join, Extent::Whole(1_400), 2);
    }

    fn again(self) -> Self {
        let Self { folder, ledger } = self;
        drop(ledger);
        let ledger = Ledger::open(&folder.path().join(FILE)).expect("opened again");
        Self { folder, ledger }
    }

    fn entries(&self) -> Vec<Content> {
        let mut entries = Vec::new();
        verify(&self.path(), None, |entry| {
            entries.push(entry.content.clone())
        })
        .expect("it holds");
        entries
    }

    /// What an intruder with the right to write does.
    fn tampered(&self, sql: &str) -> ChainFault {
        let connection = Connection::open(self.path()).expect("opened");
        connection.execute_batch(sql).expect("done");
        drop(connection);
        match verify(&self.path(), None, |_| ()) {
            Ok(_) => panic!("{sql} is not found"),
            Err(fault) => fault,
        }
    }
}

#[test]
fn an_entry_says_when_to_whom_what_for_and_how_it_is_protected() {
    let book = Book::new();
    book.leaves(0, contribution(), Extent::From { first: 0, of: 100 }, 3);
    let entries = book.entries();
    let expected = Content {
        first_at: "2023-11-14T22:13:20.000Z".into(),
        last_at: "2023-11-14T22:13:20.000Z".into(),
        to: recipient(),
        run: Some([7; 32].into()),
        sum: Some("update".into()),
        round: Some(3),
        kind: "contribution".into(),
        purpose: "sealed contribution to learning round 3".into(),
        protection: "sealed: only the sum can be opened, by 3 hospitals".into(),
        objects: 1,
        bytes: 100,
        part: Some(Part {
            first: 0,
            of: 100,
            again: 0,
        }),
        sha256: [3; 32],
    };
    assert_eq!(entries, [expected]);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        for name in [FILE, "ledger.sqlite-wal"] {
            let meta = fs::metadata(book.folder.path().join(name)).expect("there");
            assert_eq!(meta.permissions().mode() & 0o777, 0o600, "{name}");
        }
    }
}

#[test]
fn heartbeats_are_one_entry_a_minute_and_every_one_counts_also_after_a_kill() {
    let book = Book::new();
    for second in 0..60 {
        book.beats(second);
    }
    // The minute of the clock ended after 40 seconds.
    assert_eq!(book.entries().len(), 1);
    assert_eq!(
        (book.entries()[0].objects, book.entries()[0].bytes),
        (40, 200)
    );
    assert_eq!(book.entries()[0].last_at, "2023-11-14T22:13:59.000Z");
    let Verified { counting, .. } = verify(&book.path(), None, |_| ()).expect("it holds");
    assert_eq!((counting[0].objects, counting[0].bytes), (20, 100));
    let book = book.again();
    assert_eq!(book.entries()[1].objects, 20);
    book.beats(61);
    book.joins(62);
    book.ledger.enter_counted().expect("written");
    assert_eq!(book.entries().len(), 4);
    let bytes: i64 = book.entries().iter().map(|entry| entry.bytes).sum();
    assert_eq!(bytes, 61 * 5 + 1_400);
}

#[test]
fn an_upload_that_broke_off_is_taken_back_and_the_next_attempt_says_what_is_sent_again() {
    let book = Book::new();
    let (of, leaf) = (100, 10);
    book.leaves(0, contribution(), Extent::From { first: 0, of }, 3);
    book.leaves(1, contribution(), Extent::BrokeOff { at: 60, of }, 3);
    // The coordinator has what had arrived: less than was handed over.
    book.leaves(
        2,
        contribution(),
        Extent::From {
            first: 3 * leaf,
            of,
        },
        3,
    );
    let entries = book.entries();
    let told: Vec<_> = entries
        .iter()
        .map(|entry| (entry.objects, entry.bytes))
        .collect();
    assert_eq!(told, [(1, 100), (0, -40), (1, 70)]);
    assert_eq!(
        entries[1].purpose,
        "taken back, did not leave: sealed contribution to learning round 3"
    );
    let again = |index: usize| entries[index].part.map(|part| part.again);
    assert_eq!((again(0), again(2)), (Some(0), Some(30)));
    // Another object, or another run, is no repetition.
    book.leaves(3, contribution(), Extent::From { first: 0, of }, 4);
    assert_eq!(book.entries()[3].part.map(|part| part.again), Some(0));
}

#[test]
fn a_chain_goes_on_in_the_next_process_and_its_head_is_what_can_be_written_down() {
    let book = Book::new();
    book.joins(0);
    let first = book.ledger.head();
    let book = book.again();
    assert_eq!(book.ledger.head(), first);
    book.joins(1);
    let known = |hash| verify(&book.path(), Some(hash), |_| ());
    assert_eq!(
        known(first.hash).expect("it holds").head,
        book.ledger.head()
    );
    assert!(known(book.ledger.head().hash).is_ok());
    assert!(matches!(known([5; 32]), Err(ChainFault::NoSuchHead(_))));
}

#[test]
fn what_cannot_be_written_is_an_error_that_may_pass_and_leaves_the_chain_whole() {
    let book = Book::new();
    book.joins(0);
    book.ledger.fill_disk(true);
    let (to, run) = (recipient(), None);
    for kind in [Kind::Join, Kind::Heartbeat] {
        let departure = Departure {
            to: &to,
            run,
            object: object(kind, Protection::NoPatients),
            sha256: [1; 32],
            extent: Extent::Whole(5),
        };
        let error = book
            .ledger
            .record(&departure)
            .expect_err("it cannot be written");
        assert!(
            error.may_pass && error.to_string().contains("free disk space"),
            "{error}"
        );
    }
    assert_eq!(book.entries().len(), 1);
    book.ledger.fill_disk(false);
    book.joins(1);
    assert_eq!(book.entries().len(), 2);
}

#[test]
fn what_was_altered_removed_or_inserted_is_found_and_named() {
    let filled = || {
        let book = Book::new();
        (0..5).for_each(|second| book.joins(second));
        book
    };
    for (sql, words) in [
        ("UPDATE entries SET bytes = 1 WHERE number = 3", "entry 3"),
        ("UPDATE entries SET purpose = 'x' WHERE number = 3", "entry 3"),
        ("UPDATE entries SET first_at = '2020' WHERE number = 1", "entry 1"),
        ("UPDATE entries SET run = NULL WHERE number = 5", "entry 5"),
        ("DELETE FROM entries WHERE number = 2", "entry 3 stands where entry 2 belongs"),
        ("DELETE FROM entries WHERE number = 1", "entry 2 stands where entry 1 belongs"),
        ("DELETE FROM entries WHERE number = 5", "number 5"),
        (
            "DELETE FROM entries WHERE number = 2; UPDATE entries SET number = number - 1 WHERE number > 2",
            "entry 2",
        ),
        (
            "INSERT INTO entries SELECT 6, first_at, last_at, address, key, run, sum, round, kind, purpose, protection, objects, bytes,
             first_byte, object_bytes, again, sha256, hash FROM entries WHERE number = 5",
            "entry 6",
        ),
        ("UPDATE entries SET objects = -1 WHERE number = 4", "cannot use the ledger"),
    ] {
        let said = filled().tampered(sql).to_string();
        assert!(said.contains(words), "{sql}: {said}");
    }
    // One whose end does not fit is not written on.
    let book = filled();
    book.tampered("DELETE FROM entries WHERE number = 5");
    let path = book.path();
    drop(book.ledger);
    let error = Ledger::open(&path).err().expect("refused").to_string();
    assert!(
        error.contains("ledger verify") && error.contains("move the file aside"),
        "{error}"
    );
}

#[test]
fn a_file_that_is_no_ledger_or_of_a_later_release_is_named_with_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join(FILE);
    let said = |result: Result<Verified, ChainFault>| match result {
        Ok(_) => panic!("must be refused"),
        Err(fault) => fault.to_string(),
    };
    let nothing = said(verify(&path, None, |_| ()));
    assert!(
        nothing.contains("nothing has left this hospital"),
        "{nothing}"
    );
    assert!(!path.exists());
    fs::write(&path, [b'x'; 5_000]).expect("written");
    for said in [
        said(verify(&path, None, |_| ())),
        Ledger::open(&path).err().expect("refused").to_string(),
    ] {
        assert!(said.contains("damaged") && said.contains(FILE), "{said}");
    }
    fs::remove_file(&path).expect("it is there");
    drop(Ledger::open(&path).expect("made"));
    let later = Connection::open(&path).expect("opened");
    later
        .execute_batch("PRAGMA user_version = 2")
        .expect("done");
    let said = Ledger::open(&path).err().expect("refused").to_string();
    assert!(said.contains("version 2, this one writes 1"), "{said}");
}

#[test]
fn a_summary_has_a_row_for_each_run_and_purpose_and_loses_no_byte() {
    let book = Book::new();
    book.joins(0);
    for round in 1..=3 {
        let mut contribution = contribution();
        if let Some(sum) = &mut contribution.sum {
            sum.learning_round = Some(LearningRound::new(round));
        }
        book.leaves(
            i64::from(round),
            contribution,
            Extent::From { first: 0, of: 100 },
            3,
        );
    }
    (0..10).for_each(|second| book.beats(second));
    let mut summary = Summary::default();
    let verified = verify(&book.path(), None, |entry| summary.add(&entry.content));
    verified
        .expect("it holds")
        .counting
        .iter()
        .for_each(|counted| summary.add(counted));
    let rows: Vec<_> = summary
        .rows()
        .iter()
        .map(|row| (row.purpose.clone(), row.objects, row.bytes, row.again))
        .collect();
    assert_eq!(
        rows,
        [
            ("joins a session".to_owned(), 1, 1_400, 0),
            (
                "sealed contribution to learning rounds".to_owned(),
                3,
                300,
                200
            ),
            ("heartbeat".to_owned(), 10, 50, 0),
        ]
    );
    assert_eq!(summary.total(), (14, 1_750));
}
