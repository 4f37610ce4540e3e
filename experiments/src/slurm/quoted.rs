//! Words as a shell takes them.

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

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn a_shell_reads_any_text(text in "[ -~äß€]{0,40}") {
            prop_assert_eq!(as_bash_reads(&quoted(&text).expect("a word")), text);
        }
    }
}
