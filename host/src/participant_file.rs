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

fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

const TEXT: &str = include_str!("participant.toml");
const EXAMPLE_HOSPITAL: &str = "hospital = 1";
const DEFAULT_ADDRESS: &str = "address = \"127.0.0.1:7443\"";
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
        for key in ["hospital", "coordinator"] {
            written.insert(key.to_owned(), defaults[key].clone());
        }
        assert_eq!(written, defaults);
    }
}
