//! Names that patients have in files: as a folder, as a label of BIDS, as a cell of a spreadsheet.

use std::{borrow::Cow, collections::BTreeSet};

use aws_lc_rs::digest;

/// Longest folder name; a file system takes 255 bytes, and endings are to fit in as well.
const MAX_NAME: usize = 64;
/// Hexadecimal digits that tell apart names that had to be changed.
const DIGITS: usize = 12;

/// A folder for each patient, in the order of `ids`, which all differ.
///
/// Letters and digits of ASCII, `-`, `_` and, not in front, `.` stay; all else becomes `_`. A name that had to be changed or cut, or
/// that differs from another in case alone, ends in `-` and the start of the SHA-256 of the ID: it depends on no other patient
/// but those whom it would be taken for.
pub(crate) fn folders(ids: &[&str]) -> Vec<String> {
    let keep = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    unique(ids, "-", |id| {
        let kept = id.chars().map(|c| if keep(c) { c } else { '_' });
        let name: String = kept.skip_while(|c| *c == '.').take(MAX_NAME).collect();
        let plain = name == id;
        (name, plain)
    })
}

/// A label of BIDS for each patient: letters and digits of ASCII alone. An ID of the form `sub-01` is taken for `01`; what had to be
/// changed ends in digits of the ID's SHA-256, as of [`folders`].
pub(crate) fn bids_labels(ids: &[&str]) -> Vec<String> {
    unique(ids, "", |id| {
        let label = id.strip_prefix("sub-").unwrap_or(id);
        let kept = label.chars().filter(char::is_ascii_alphanumeric);
        let name: String = kept.take(MAX_NAME).collect();
        let plain = name == label;
        (name, plain)
    })
}

/// `clean` gives a name that may stand, and whether it says all that the ID does.
fn unique(ids: &[&str], joint: &str, clean: impl Fn(&str) -> (String, bool)) -> Vec<String> {
    let mut taken = BTreeSet::new();
    // Those that need no change keep their names, wherever they stand in the list.
    let first: Vec<(String, bool)> = (ids.iter())
        .map(|id| {
            let (name, plain) = clean(id);
            let free = !name.is_empty() && plain && taken.insert(name.to_ascii_lowercase());
            (name, free)
        })
        .collect();
    let longer = |(id, (start, free)): (&&str, (String, bool))| {
        if free {
            return start;
        }
        let hash = hex::encode(digest::digest(&digest::SHA256, id.as_bytes()));
        let joint = if start.is_empty() { "" } else { joint };
        // Only an ID that was chosen to look like another's digest needs more digits.
        let mut names =
            (DIGITS..=hash.len()).map(|digits| format!("{start}{joint}{}", &hash[..digits]));
        names
            .find(|name| taken.insert(name.to_ascii_lowercase()))
            .unwrap_or(hash)
    };
    ids.iter().zip(first).map(longer).collect()
}

/// A text that a spreadsheet shows and does not compute: one that starts as a formula can, or with an apostrophe, has an
/// apostrophe put in front. A program that reads the table takes one leading apostrophe away.
pub(crate) fn cell(text: &str) -> Cow<'_, str> {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '\'']) {
        format!("'{text}").into()
    } else {
        text.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_leaves_its_folder_and_no_two_are_one() {
        let long = "x".repeat(200);
        let ids = [
            "p1",
            "P1",
            "../../etc",
            "..",
            ".",
            "a/b",
            "a_b",
            "a\0b",
            "",
            "Zoë",
            "Zoé",
            &long,
            "-",
            "CON\n",
            ".ssh",
            "p1 ",
        ];
        let names = folders(&ids);
        assert_eq!(names[0], "p1");
        assert_eq!(names[6], "a_b", "as it is, though another is cleaned to it");
        let folded: BTreeSet<String> = names.iter().map(|name| name.to_lowercase()).collect();
        assert_eq!(folded.len(), ids.len(), "{names:?}");
        for name in &names {
            assert!((1..=MAX_NAME + 1 + DIGITS).contains(&name.len()), "{name}");
            assert!(!name.starts_with('.'), "{name}");
            let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            assert!(name.chars().all(plain), "{name}");
        }
    }

    #[test]
    fn a_name_does_not_depend_on_the_others() {
        let alone = folders(&["Zoë"]);
        assert_eq!(folders(&["p1", "Zoë", "p2"])[1], alone[0]);
    }

    #[test]
    fn labels_have_letters_and_digits_alone() {
        let labels = bids_labels(&["sub-01", "01", "a-b", "ab", "é"]);
        assert_eq!((labels[0].as_str(), labels[3].as_str()), ("01", "ab"));
        assert!(labels[1].starts_with("01") && labels[1].len() == 2 + DIGITS);
        assert_eq!(labels[4].len(), DIGITS);
        let all = labels.concat();
        assert!(all.chars().all(|c| c.is_ascii_alphanumeric()), "{labels:?}");
    }

    #[test]
    fn what_looks_like_a_formula_is_made_text_and_can_be_undone() {
        for text in ["=1+1", "+1", "-1", "@x", "\tx", "'x", "\r=1"] {
            assert_eq!(cell(text), format!("'{text}"));
        }
        assert_eq!(cell("p=1"), "p=1");
    }
}
