//! Words as a shell takes them: in scripts, and in the commands that a person is told.

use std::path::Path;

use anyhow::{Context, bail};

/// A word of a script that means this text and nothing else.
///
/// # Errors
/// A text with a line break or another control character, which no script should have in it.
pub fn quoted(text: &str) -> anyhow::Result<String> {
    if text
        .chars()
        .any(|character| character.is_control() || character == char::REPLACEMENT_CHARACTER)
    {
        bail!(
            "{text:?} cannot be put into a script: it has a control character, or is not Unicode; rename it"
        );
    }
    let word = shlex::try_quote(text).context("cannot be put into a script")?;
    Ok(word.into_owned())
}

/// The same of a path.
///
/// # Errors
/// As [`quoted`]; a path that is not Unicode.
pub fn quoted_path(path: &Path) -> anyhow::Result<String> {
    match path.to_str() {
        Some(text) => quoted(text),
        None => bail!("{path:?} cannot be put into a script: it is not Unicode; rename it"),
    }
}

/// A word of a command that a person is told: as a shell takes it, or as it is shown elsewhere if no command can have it. A list with
/// commas stays as it is typed.
pub fn in_command(text: &str) -> String {
    let is_plain =
        |character: char| character.is_ascii_alphanumeric() || "+-./:@_,".contains(character);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    quoted(text).unwrap_or_else(|_| text.to_owned())
}

/// The same of a path.
pub fn path_in_command(path: &Path) -> String {
    in_command(&path.to_string_lossy())
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    fn as_bash_reads(words: &str) -> String {
        let script = format!("printf %s {words}");
        let output = Command::new("bash")
            .args(["-c", &script])
            .output()
            .expect("bash");
        assert!(output.status.success(), "{script}");
        String::from_utf8(output.stdout).expect("text")
    }

    #[test]
    fn a_shell_reads_what_was_meant() {
        for text in [
            "",
            "runs/ms60",
            "a b",
            "it's",
            "$(touch x)`y`",
            "~/\"*?!\\#",
            "--out=ä ö;&|<>",
        ] {
            assert_eq!(as_bash_reads(&quoted(text).expect("a word")), text);
        }
        for text in ["two\nlines", "a\u{7}", "a\u{fffd}"] {
            let refused = quoted(text).expect_err("no word").to_string();
            assert!(refused.contains("rename"), "{refused}");
        }
    }

    #[test]
    fn a_command_that_a_person_is_told_can_be_copied() {
        for text in [
            "",
            "runs/ms60",
            "original,smote",
            "a person's folder",
            "$HOME",
            "~x=1",
        ] {
            assert_eq!(as_bash_reads(&in_command(text)), text);
        }
        for plain in ["runs/ms60", "original,smote", "2@before-upload:1"] {
            assert_eq!(path_in_command(Path::new(plain)), plain);
        }
        assert_eq!(in_command("two\nlines"), "two\nlines");
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn a_shell_reads_any_text(text in "[ -~äß€]{0,40}") {
            prop_assert_eq!(as_bash_reads(&quoted(&text).expect("a word")), text);
        }
    }
}
