//! Troubles of one kind as one line: how many there are, and an example.

use std::{
    fmt::Display,
    path::{MAIN_SEPARATOR, Path},
};

use protocol::counted::counted;

/// One thing that is wrong or odd.
pub struct Trouble {
    /// Of what: a scan, a patient, a row.
    pub about: String,
    /// What it is.
    pub what: String,
}

impl Trouble {
    pub fn new(about: impl Display, what: impl Display) -> Self {
        Self {
            about: about.to_string(),
            what: what.to_string(),
        }
    }

    /// Of a text that names its subject first: "Patient-3/flair: truncated".
    pub fn of_line(line: &str) -> Self {
        match line.split_once(": ") {
            Some((about, what)) if !about.contains(' ') || about.contains('/') => {
                Self::new(about, what)
            }
            _ => Self::new("", line),
        }
    }
}

/// The lines of a list of troubles: each of them, or one for a kind. `nouns` are what troubles are about: one, and several.
pub fn lines(troubles: &[Trouble], nouns: [&str; 2], all: bool) -> Vec<String> {
    let single = |trouble: &Trouble| match trouble.about.as_str() {
        "" => trouble.what.clone(),
        about => format!("{about}: {}", trouble.what),
    };
    if all {
        return troubles.iter().map(single).collect();
    }
    let mut kinds: Vec<(String, Vec<&Trouble>)> = vec![];
    for trouble in troubles {
        let kind = kind(&trouble.what);
        match kinds.iter_mut().find(|(other, _)| *other == kind) {
            Some((_, of_kind)) => of_kind.push(trouble),
            None => kinds.push((kind, vec![trouble])),
        }
    }
    let of_kind = |(_, of_kind): (String, Vec<&Trouble>)| match of_kind.as_slice() {
        [] => None,
        [only] => Some(single(only)),
        [first, ..] => {
            let counted = counted(of_kind.len(), nouns);
            let about = &first.about;
            Some(format!("{counted}: {} (the first is {about})", first.what))
        }
    };
    kinds.into_iter().filter_map(of_kind).collect()
}

/// A text without what differs from case to case: numbers, and names of files.
fn kind(text: &str) -> String {
    let words = text.split_whitespace();
    let general = words.filter(|word| !word.contains(['/', '\\']));
    let general = general.map(|word| word.replace(|c: char| c.is_ascii_digit(), ""));
    general.collect::<Vec<_>>().join(" ")
}

/// A [`plain`] text with paths from `folder` on.
pub fn from_here(folder: &Path, text: &str) -> String {
    let from_here = format!("{}{MAIN_SEPARATOR}", folder.display());
    plain(&text.replace(&from_here, ""))
}

/// A text as a terminal can show it: what would move its cursor, colour it or turn its direction is written out.
pub fn plain(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for letter in text.chars() {
        let turns = matches!(letter, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if letter.is_control() || turns {
            shown.extend(letter.escape_default());
        } else {
            shown.push(letter);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn truncated(place: usize) -> Trouble {
        let file = format!("Patient-{place}/{place}-Flair.nii");
        Trouble::new(
            file,
            format!("truncated: {place}00 bytes declared, {place} there"),
        )
    }

    #[test]
    fn troubles_of_a_kind_are_one_line_with_a_count_and_an_example() {
        let troubles = [truncated(1), Trouble::new("row 7", "no ID"), truncated(2)];
        let nouns = ["scan", "scans"];
        assert_eq!(
            lines(&troubles, nouns, false),
            [
                "2 scans: truncated: 100 bytes declared, 1 there (the first is Patient-1/1-Flair.nii)",
                "row 7: no ID",
            ]
        );
        assert_eq!(lines(&troubles, nouns, true).len(), 3);
    }

    #[test]
    fn what_a_terminal_would_obey_is_written_out() {
        assert_eq!(plain("a\u{1b}[2Jb\u{7}\n"), "a\\u{1b}[2Jb\\u{7}\\n");
        assert_eq!(plain("\u{202e}gpj"), "\\u{202e}gpj");
        assert_eq!(plain("März"), "März");
    }
}
