//! Objects sent to Orthanc, an archive, and read back over its own interface.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use results::{Archive, Outcome, Outputs, StoreFault, Stored, Written, store, write_results};
use serde_json::json;
use tempfile::TempDir;

use crate::{
    made::{predictions, scans},
    python,
    tools::tool,
};

/// Until it listens; it is given a minute on a busy machine.
const START: Duration = Duration::from_secs(60);

/// An archive of its own, in the foreground, with its data in a temporary folder.
struct Orthanc {
    child: Child,
    dicom: u16,
    http: u16,
    _folder: TempDir,
}

impl Orthanc {
    /// That takes objects in these encodings alone.
    fn start(encodings: &[&str]) -> Option<Self> {
        let program = tool("Orthanc", "orthanc")?;
        let folder = tempfile::tempdir().expect("a folder");
        let [dicom, http] = free_ports();
        let settings = json!({
            "Name": "test",
            "StorageDirectory": folder.path().join("storage"),
            "IndexDirectory": folder.path().join("index"),
            "Plugins": [],
            "DicomAet": "ARCHIVE",
            "DicomCheckCalledAet": true,
            "DicomPort": dicom,
            "HttpPort": http,
            "RemoteAccessAllowed": false,
            "AuthenticationEnabled": false,
            "AcceptedTransferSyntaxes": encodings,
            "UnknownSopClassAccepted": false,
        });
        let path = folder.path().join("orthanc.json");
        fs::write(&path, settings.to_string()).expect("written");
        let child = Command::new(program)
            .arg(&path)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        let mut orthanc = Self {
            child,
            dicom,
            http,
            _folder: folder,
        };
        let began = Instant::now();
        for port in [http, dicom] {
            while TcpStream::connect(("127.0.0.1", port)).is_err() {
                let over = orthanc.child.try_wait().expect("its own child");
                assert!(over.is_none(), "Orthanc has ended: {over:?}");
                assert!(began.elapsed() < START, "Orthanc does not listen");
                thread::sleep(Duration::from_millis(50));
            }
        }
        Some(orthanc)
    }

    fn archive(&self, called: &str) -> Archive {
        archive(self.dicom, called, Duration::from_secs(30))
    }

    /// Whether it has these objects, and no others, as they are in their files.
    fn has(&self, written: &Written) {
        let url = PathBuf::from(format!("http://127.0.0.1:{}", self.http));
        let mut arguments: Vec<&Path> = vec![&url];
        arguments.extend(written.dicom.iter().map(PathBuf::as_path));
        python::ask("check_archive.py", &arguments);
    }
}

impl Drop for Orthanc {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn archive(port: u16, called: &str, timeout: Duration) -> Archive {
    Archive {
        address: format!("127.0.0.1:{port}"),
        called: called.parse().expect("a title"),
        calling: "MYELIN".parse().expect("a title"),
        timeout,
    }
}

fn free_ports() -> [u16; 2] {
    let listeners = [0, 0].map(|port| TcpListener::bind(("127.0.0.1", port)).expect("a port"));
    listeners.map(|listener| listener.local_addr().expect("bound").port())
}

/// Of one DICOM scan.
fn objects(name: &str) -> Option<(TempDir, Written)> {
    let (folder, scans) = scans()?;
    let scan = scans.iter().find(|scan| scan.name == name).expect("made");
    let outputs = Outputs {
        dicom: true,
        ..Outputs::default()
    };
    let predictions = predictions(vec![scan.patient("p")]);
    let written = write_results(&folder.path().join("out"), &predictions, outputs);
    Some((folder, written.expect("written")))
}

#[test]
fn an_archive_has_what_was_sent_and_no_copies_of_what_was_sent_again() {
    let Some((folder, written)) = objects("axial") else {
        return;
    };
    let explicit = "1.2.840.10008.1.2.1";
    let Some(orthanc) = Orthanc::start(&[explicit]) else {
        return;
    };
    let stored = store(&written.dicom, &orthanc.archive("ARCHIVE")).expect("stored");
    assert_eq!(stored.len(), written.dicom.len());
    let taken = |object: &Stored| object.outcome == Outcome::Taken;
    assert!(stored.iter().all(taken), "{stored:?}");
    orthanc.has(&written);

    // The same prediction, made and sent again on another day.
    let (_other, scans) = scans().expect("as before");
    let scan = scans
        .iter()
        .find(|scan| scan.name == "axial")
        .expect("made");
    let mut again = predictions(vec![scan.patient("p")]);
    again.date = "2026-12-02T00:00:00Z".into();
    let outputs = Outputs {
        dicom: true,
        ..Outputs::default()
    };
    let target = folder.path().join("again");
    let again = write_results(&target, &again, outputs).expect("written");
    store(&again.dicom, &orthanc.archive("ARCHIVE")).expect("taken, or had already");
    orthanc.has(&written);
}

#[test]
fn an_archive_of_implicit_little_endian_alone_gets_that() {
    let Some((_folder, written)) = objects("axial") else {
        return;
    };
    let Some(orthanc) = Orthanc::start(&["1.2.840.10008.1.2"]) else {
        return;
    };
    store(&written.dicom, &orthanc.archive("ARCHIVE")).expect("stored");
    orthanc.has(&written);
}

#[test]
fn another_name_and_an_encoding_that_is_not_ours_are_refused_with_the_remedy() {
    let Some((_folder, written)) = objects("axial") else {
        return;
    };
    let Some(orthanc) = Orthanc::start(&["1.2.840.10008.1.2.4.50"]) else {
        return;
    };
    let error = store(&written.dicom, &orthanc.archive("OTHER")).expect_err("refused");
    assert!(
        matches!(error.fault, StoreFault::Rejected { .. }),
        "{error:?}"
    );
    let text = error.to_string();
    for part in ["OTHER", "127.0.0.1", "MYELIN", "check both AE titles"] {
        assert!(text.contains(part), "no {part} in {text}");
    }
    let error = store(&written.dicom, &orthanc.archive("ARCHIVE")).expect_err("refused");
    assert!(
        matches!(error.fault, StoreFault::NotAccepted { .. }),
        "{error:?}"
    );
}

#[test]
fn nobody_there_and_somebody_silent_are_told_apart() {
    let Some((_folder, written)) = objects("axial") else {
        return;
    };
    let [port, _] = free_ports();
    let patience = Duration::from_millis(300);
    let error = store(&written.dicom, &archive(port, "ARCHIVE", patience)).expect_err("nobody");
    assert!(
        matches!(error.fault, StoreFault::Connect { .. }),
        "{error:?}"
    );
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = silent.local_addr().expect("bound").port();
    let began = Instant::now();
    let error = store(&written.dicom, &archive(port, "ARCHIVE", patience)).expect_err("silent");
    assert!(matches!(error.fault, StoreFault::Wire { .. }), "{error:?}");
    assert!(began.elapsed() < Duration::from_secs(20), "no end");
    assert_eq!(error.stored, 0);
}

#[test]
fn an_archive_that_breaks_off_or_falls_asleep_is_not_waited_for() {
    let Some((folder, written)) = objects("axial") else {
        return;
    };
    let Some(program) = tool("storescp", "dcmtk") else {
        return;
    };
    let fault = |options: &[&str], timeout| {
        let [port, _] = free_ports();
        let mut child = Command::new(&program)
            .args(options)
            .args(["--ignore", &port.to_string()])
            .current_dir(folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        let began = Instant::now();
        let found = loop {
            let error = store(&written.dicom, &archive(port, "ANY", timeout)).expect_err("a fault");
            // Until it listens.
            if !matches!(error.fault, StoreFault::Connect { .. }) || began.elapsed() > START {
                break error;
            }
            thread::sleep(Duration::from_millis(50));
        };
        let _ = child.kill();
        let _ = child.wait();
        found
    };
    let patient = Duration::from_secs(30);
    let refused = fault(&["--refuse"], patient);
    assert!(
        matches!(refused.fault, StoreFault::Rejected { .. }),
        "{refused:?}"
    );
    let broken = fault(&["--abort-after"], patient);
    let gone = matches!(
        broken.fault,
        StoreFault::Protocol { .. } | StoreFault::Wire { .. }
    );
    assert!(gone && broken.stored == 0, "{broken:?}");
    let began = Instant::now();
    let asleep = fault(&["--sleep-after", "300"], Duration::from_secs(2));
    assert!(
        matches!(asleep.fault, StoreFault::Wire { .. }),
        "{asleep:?}"
    );
    assert!(began.elapsed() < Duration::from_secs(120), "waited");
}
