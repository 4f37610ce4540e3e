//! What a machine can check of "nothing leaves past the ledger".

use std::{collections::BTreeSet, fs, path::Path};

/// Whoever has one of these can send without an entry, and the folder that may name it. What is asked at the coordinator's desk before
/// there is a state folder (public keys, a certificate request, signatures) has no patients' data in reach.
const SENDERS: [(&str, &str); 5] = [
    ("CoordinatorLink", "way_out"),
    ("FrameSender", "way_out"),
    ("Blobs", "way_out"),
    ("connect_through", "way_out"),
    ("EnrolmentClient", "enrolment"),
];

#[test]
fn only_the_way_out_names_what_can_send() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut named = BTreeSet::new();
    let mut folders = vec![source.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = fs::read_to_string(&path).expect("text");
            for (sender, allowed) in SENDERS {
                if text.contains(sender) {
                    assert!(
                        path.starts_with(source.join(allowed)),
                        "{} names {sender}: what leaves must go through way_out, which enters it into the ledger",
                        path.display()
                    );
                    named.insert(sender);
                }
            }
        }
    }
    assert_eq!(named.len(), SENDERS.len(), "the search finds what is there");
}
