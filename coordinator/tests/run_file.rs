//! Signed runs in files, of federations as `init` makes them.

use std::{fs, path::PathBuf};

use coordinator::{
    demo::{Demo, Place},
    settings::RunSettings,
};
use host::run_file::{read, to_text};
use protocol::codec;

fn written(text: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("run.json");
    fs::write(&path, text).expect("written");
    (folder, path)
}

#[test]
fn a_signed_run_is_read_back_and_nothing_else_is() {
    let demo = Demo::generate(3, Place::default()).expect("three hospitals");
    let other = Demo::generate(3, Place::default()).expect("three hospitals");
    let signed = RunSettings::default().signed_manifest(&demo.operator_key);
    let text = to_text(&signed, &demo.roster).expect("sound");
    let (_folder, path) = written(&text);
    assert!(read(&path, &demo.roster).expect("sound") == signed);

    let refusal = |text: &str| {
        let (_folder, path) = written(text);
        read(&path, &demo.roster).expect_err("refused").to_string()
    };
    let (_folder, path) = written(&text);
    let error = read(&path, &other.roster).expect_err("another federation");
    assert!(error.to_string().contains("another roster"), "{error}");
    let by_another = RunSettings::default().signed_manifest(&other.operator_key);
    let text_of_another = to_text(&by_another, &demo.roster).expect("sound");
    assert!(refusal(&text_of_another).contains("cannot be run"));
    assert!(refusal("{}").contains("is not a signed run"));
    assert!(refusal(&text.replace("\"schema\": 1", "\"schema\": 2")).contains("schema 2"));
    let renamed = text.replace("\"name\": \"demo\"", "\"name\": \"harmless\"");
    assert!(refusal(&renamed).contains("another run than was signed"));
    let cut = text.replace(&hex::encode(codec::encode(&signed)), "00");
    assert!(refusal(&cut).contains("is not a signed run"));
}
