//! A table of text, as bytes of some encoding: .csv and .tsv, parted by commas, semicolons or tabs.

use super::table_row::{MAX_CELLS, Row, known};

/// The rows, and whether letters were lost.
#[derive(Debug)]
pub(super) struct TextTable {
    /// As [`super::sheet::Sheet::rows`].
    pub rows: Vec<Row>,
    /// Whether some bytes are not of UTF-8; the letters are U+FFFD.
    pub lossy: bool,
}

impl TextTable {
    /// Reads a table. Whether commas, semicolons or tabs part the cells, the first line tells that has any of them, or a line "sep=;".
    ///
    /// # Errors
    /// Text of another encoding, quotes that do not pair, more cells than a table has; in words.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, String> {
        let text = decode(bytes)?;
        let (skipped, delimiter, body) = match text.strip_prefix("sep=").map(str::as_bytes) {
            Some([delimiter @ (b',' | b';' | b'\t'), ..]) => {
                let end = text.find('\n').map_or(text.len(), |end| end + 1);
                (1, *delimiter, &text[end..])
            }
            _ => (0, delimiter(&text), text.as_str()),
        };
        check_quotes(body.as_bytes(), delimiter)?;
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .delimiter(delimiter)
            .from_reader(body.as_bytes());
        let mut rows = vec![];
        let mut held = 0;
        for record in reader.records() {
            let record = record.map_err(|error| error.to_string())?;
            let row = record.position().map_or(0, |place| place.line() as usize);
            held += record.len();
            if held > MAX_CELLS {
                return Err(format!(
                    "more than {MAX_CELLS} cells are no table of patients"
                ));
            }
            rows.push((skipped + row, record.iter().map(known).collect()));
        }
        Ok(Self {
            rows,
            lossy: text.contains(char::REPLACEMENT_CHARACTER),
        })
    }
}

/// UTF-8, or UTF-16 with its mark, as Excel's "Unicode text" is.
fn decode(bytes: &[u8]) -> Result<String, String> {
    let words = |of: fn([u8; 2]) -> u16| {
        let words = bytes[2..].chunks(2);
        let words = words.map(|pair| of([pair[0], pair.get(1).copied().unwrap_or(0)]));
        char::decode_utf16(words)
            .map(|letter| letter.unwrap_or(char::REPLACEMENT_CHARACTER))
            .collect()
    };
    match bytes {
        [0xFF, 0xFE, ..] => Ok(words(u16::from_le_bytes)),
        [0xFE, 0xFF, ..] => Ok(words(u16::from_be_bytes)),
        _ if bytes.contains(&0) => Err(
            "it is not plain text, or UTF-16 without its mark: save it as 'CSV UTF-8'".to_owned(),
        ),
        _ => {
            let text = String::from_utf8_lossy(bytes);
            Ok(text.trim_start_matches('\u{feff}').to_owned())
        }
    }
}

/// What parts the cells. Commas where there is nothing else.
fn delimiter(text: &str) -> u8 {
    let counts = |line: &str| [b'\t', b';', b','].map(|byte| (count(line.as_bytes(), byte), byte));
    let lines = text.lines().take(TITLE_LINES).map(counts);
    let telling = lines
        .into_iter()
        .find(|counts| counts.iter().any(|(count, _)| *count > 0));
    // The last of equals.
    let most = telling.and_then(|counts| counts.into_iter().max_by_key(|(count, _)| *count));
    most.map_or(b',', |(_, byte)| byte)
}

fn count(line: &[u8], wanted: u8) -> usize {
    line.iter().filter(|byte| **byte == wanted).count()
}

/// Quotes that do not pair swallow rows, which a lenient parser does not say.
fn check_quotes(text: &[u8], delimiter: u8) -> Result<(), String> {
    let columns = text
        .split(|byte| *byte == b'\n')
        .next()
        .map_or(0, |line| count(line, delimiter));
    let mut at_start = true;
    let mut place = 0;
    while let Some(&byte) = text.get(place) {
        if !(at_start && byte == b'"') {
            at_start = byte == delimiter || byte == b'\n' || byte == b'\r';
            place += 1;
            continue;
        }
        let line = || 1 + count(&text[..place], b'\n');
        let Some(end) = end_of_quoted(text, place + 1) else {
            return Err(format!(
                "a quote is opened in line {} and never closed: close it, or take it away",
                line()
            ));
        };
        let follows = text[end..].iter().find(|byte| **byte != b' ');
        if !matches!(follows, None | Some(b'\n' | b'\r')) && follows != Some(&delimiter) {
            return Err(format!(
                "the quotes do not pair: one is opened in line {} and text follows its end in line {}; write a quote within a cell twice",
                line(),
                line() + count(&text[place..end], b'\n')
            ));
        }
        let mut swallowed = text[place..end].split(|byte| *byte == b'\n').skip(1);
        if columns > 0 && swallowed.any(|line| count(line, delimiter) >= columns) {
            return Err(format!(
                "a quote that is opened in line {} spans whole rows: close it in its line, or take it away",
                line()
            ));
        }
        place = end;
        at_start = false;
    }
    Ok(())
}

/// Behind the closing quote of a cell whose text begins at `place`.
fn end_of_quoted(text: &[u8], mut place: usize) -> Option<usize> {
    loop {
        match (text.get(place)?, text.get(place + 1)) {
            (b'"', Some(b'"')) => place += 2,
            (b'"', _) => return Some(place + 1),
            _ => place += 1,
        }
    }
}

/// A title and a few empty lines may stand above the header.
const TITLE_LINES: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn cells(text: &str) -> Vec<Vec<String>> {
        let table = TextTable::read(text.as_bytes()).expect("a table");
        table.rows.into_iter().map(|(_, cells)| cells).collect()
    }

    #[test]
    fn commas_semicolons_and_tabs_are_told_by_the_first_line_that_has_any() {
        for text in [
            "id,edss\n1,2.5\n",
            "id;edss\r\n1;2.5\r\n",
            "\u{feff}id\tedss\n1\t2.5",
            "sep=;\nid;edss\n1;2.5",
        ] {
            assert_eq!(cells(text), [["id", "edss"], ["1", "2.5"]], "{text:?}");
        }
        assert_eq!(cells("id;note\n1;a, b"), [["id", "note"], ["1", "a, b"]]);
        assert_eq!(cells("Our patients\nid;a\n1;2,5")[2], ["1", "2,5"]);
    }

    #[test]
    fn quotes_hold_delimiters_and_lines_together() {
        let table = TextTable::read(b"id,note\n1,\"Motor, \"\"left\"\"\nand right\"\n2,n/a\n");
        let rows = table.expect("a table").rows;
        let cells = vec!["1".to_owned(), "Motor, \"left\"\nand right".to_owned()];
        assert_eq!(rows[1], (2, cells));
        let cells = vec!["2".to_owned(), String::new()];
        assert_eq!(rows[2], (4, cells), "the line in the file");
    }

    #[test]
    fn quotes_that_do_not_pair_are_refused_with_their_line() {
        for (text, words) in [
            ("id,note\n1,\"a\n2,b\n", "line 2 and never closed"),
            (
                "id,note\n1,\"a\n2,\"b\n3,c\n",
                "opened in line 2 and text follows its end in line 3",
            ),
            (
                "id,note\n1,\"a\n2,b\"\n3,c\n",
                "opened in line 2 spans whole rows",
            ),
        ] {
            let refusal = TextTable::read(text.as_bytes()).expect_err("refused");
            assert!(refusal.contains(words), "{text:?}: {refusal}");
        }
        assert_eq!(cells("id,inch\n1,5\" \n")[1], ["1", "5\""]);
    }

    #[test]
    fn encodings_are_told_by_their_mark_and_lost_letters_are_noticed() {
        let utf16 = |order: fn(u16) -> [u8; 2]| -> Vec<u8> {
            "\u{feff}id\tä\n".encode_utf16().flat_map(order).collect()
        };
        for bytes in [utf16(u16::to_le_bytes), utf16(u16::to_be_bytes)] {
            let table = TextTable::read(&bytes).expect("a table");
            assert_eq!(table.rows[0].1, ["id", "ä"]);
            assert!(!table.lossy);
        }
        let table = TextTable::read(b"id,\xE9dss\n").expect("a table");
        assert_eq!(
            (table.rows[0].1[1].as_str(), table.lossy),
            ("\u{fffd}dss", true)
        );
        let refusal = TextTable::read(b"i\0d\0,\0").expect_err("refused");
        assert!(refusal.contains("CSV UTF-8"), "{refusal}");
    }

    #[test]
    fn rows_of_other_lengths_are_kept() {
        let lengths: Vec<usize> = cells("a,b\n1\n1,2,3\n").iter().map(Vec::len).collect();
        assert_eq!(lengths, [2, 1, 3]);
    }
}
