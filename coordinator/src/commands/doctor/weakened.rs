//! Settings that protect the hospitals less than they could.

use coordinator::settings::Settings;
use host::doctor::Check;
use protocol::manifest::Conditioning;

/// One check for each.
pub fn look(settings: &Settings) -> Vec<Check> {
    let mut weakened = Vec::new();
    if settings.keys.operator_key.exists() {
        weakened.push(Check::weakened(
            "keys.operator_key",
            "the operator's key lies on this machine: whoever takes the machine decides what is trained",
            "well for a demonstration; else make one elsewhere (coordinator operator init) and sign runs there (coordinator run sign)",
        ));
    }
    match settings.conditioning() {
        Conditioning::EncryptedStudy => weakened.push(Check::weakened(
            "run.profile",
            "study: its parameters protect clinical features less (THREATS.md 1)",
            "profile = \"hardened\" in coordinator.toml",
        )),
        Conditioning::Plain => weakened.push(Check::weakened(
            "run.conditioning",
            "plain: filters are computed at the hospitals without encryption, for comparison",
            "conditioning = \"encrypted\" in coordinator.toml",
        )),
        Conditioning::EncryptedHardened | Conditioning::None => {}
    }
    weakened
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_is_weaker_than_usual_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("coordinator.toml");
        let names = |text: &str| {
            fs::write(&file, text).expect("written");
            let settings = Settings::load(&file, [], &[]).expect("sound");
            let checks = look(&settings);
            checks.iter().map(|check| check.name).collect::<Vec<_>>()
        };
        assert!(names("").is_empty());
        assert_eq!(names("[run]\nprofile = \"study\"\n"), ["run.profile"]);
        let plain = names("[run]\nconditioning = \"plain\"\n");
        assert_eq!(plain, ["run.conditioning"]);
        fs::create_dir(folder.path().join("keys")).expect("made");
        fs::write(folder.path().join("keys/operator.key"), "").expect("written");
        assert_eq!(names(""), ["keys.operator_key"]);
    }
}
