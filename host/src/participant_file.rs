//! The teaching `participant.toml`.
//!
//! It lies here because two programs need the same text: the coordinator writes it for each hospital of a demo, the participant
//! reads it as the list of its keys and their defaults.

use protocol::HospitalId;

use crate::settings::Template;

/// The participant's keys and defaults.
pub const TEMPLATE: Template = Template {
    text: TEXT,
    required: &["hospital"],
    paths: &[
        "roster",
        "data",
        "state",
        "keys.signing_key",
        "keys.tls_certificate",
        "keys.tls_key",
        "keys.ca_certificate",
    ],
};

/// The text of one hospital's `participant.toml`, with comments that teach. `address` is the coordinator's `host:port`,
/// `server_name` the name in its certificate.
pub fn participant_file(hospital: HospitalId, address: &str, server_name: &str) -> String {
    TEXT.replacen(EXAMPLE_HOSPITAL, &format!("hospital = {hospital}"), 1)
        .replacen(
            DEFAULT_ADDRESS,
            &format!("address = {}", quoted(address)),
            1,
        )
        .replacen(
            DEFAULT_SERVER_NAME,
            &format!("server_name = {}", quoted(server_name)),
            1,
        )
}

/// The same text for a demo of so many hospitals, whose user is their operator as well: nobody is asked, and two are enough.
pub fn of_demo(text: &str, hospitals: usize) -> String {
    let text = text.replacen(ASK, AUTOMATIC, 1);
    if hospitals < USUAL_MIN_MEMBERS {
        text.replacen(MIN_MEMBERS, &format!("min_members = {hospitals}"), 1)
    } else {
        text
    }
}

/// The same of a hospital that has joined a federation, with its data set elsewhere.
pub fn joined_file(
    hospital: HospitalId,
    address: &str,
    server_name: &str,
    data: Option<&str>,
) -> String {
    let text = participant_file(hospital, address, server_name);
    match data {
        Some(data) => text.replacen(DEFAULT_DATA, &format!("data = {}", quoted(data)), 1),
        None => text,
    }
}

fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

const TEXT: &str = include_str!("participant.toml");
const EXAMPLE_HOSPITAL: &str = "hospital = 1";
const DEFAULT_DATA: &str = "data = \"data\"";
const DEFAULT_ADDRESS: &str = "address = \"127.0.0.1:7443\"";
const ASK: &str = "approval = \"ask\"                 ";
const AUTOMATIC: &str = "approval = \"automatic\"            # of a demo: nobody is asked. For a federation write \"ask\".\n                                 ";
const USUAL_MIN_MEMBERS: usize = 3;
const MIN_MEMBERS: &str = "min_members = 3";
const DEFAULT_SERVER_NAME: &str = "server_name = \"localhost\"";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hospitals_file_says_what_was_asked_and_has_the_defaults_otherwise() {
        let hospital = HospitalId::new(37).expect("in range");
        let text = participant_file(hospital, "host \"a\":9", "name");
        let mut written: toml::Table = text.parse().expect("TOML");
        let defaults: toml::Table = TEXT.parse().expect("TOML");
        assert_eq!(written["hospital"].as_integer(), Some(37));
        assert_eq!(
            written["coordinator"]["address"].as_str(),
            Some("host \"a\":9")
        );
        assert_eq!(written["coordinator"]["server_name"].as_str(), Some("name"));
        let joined: toml::Table = joined_file(hospital, "a:9", "name", Some("/srv/m\\ri"))
            .parse()
            .expect("TOML");
        assert_eq!(joined["data"].as_str(), Some("/srv/m\\ri"));
        for key in ["hospital", "coordinator"] {
            written.insert(key.to_owned(), defaults[key].clone());
        }
        assert_eq!(written, defaults);
    }

    #[test]
    fn a_demos_file_says_what_it_allows_beyond_the_defaults() {
        let defaults: toml::Table = TEXT.parse().expect("TOML");
        for (hospitals, differ) in [(3, &["approval"][..]), (2, &["approval", "min_members"])] {
            let text = of_demo(TEXT, hospitals);
            let written: toml::Table = text.parse().expect("TOML");
            let policy = written["policy"].as_table().expect("a section");
            let others = policy
                .iter()
                .filter(|(key, value)| defaults["policy"][*key] != **value);
            let others: Vec<_> = others.map(|(key, _)| key.as_str()).collect();
            assert_eq!(others, differ);
            assert_eq!(policy["approval"].as_str(), Some("automatic"));
            assert!(text.contains("nobody is asked. For a federation"), "{text}");
        }
        let two: toml::Table = of_demo(TEXT, 2).parse().expect("TOML");
        assert_eq!(two["policy"]["min_members"].as_integer(), Some(2));
    }
}
