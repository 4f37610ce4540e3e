//! A table as people keep it: .xlsx, .csv or .tsv, as rows of text.

use std::{
    fs,
    io::Cursor,
    path::{Path, PathBuf},
};

use calamine::{Data, DataType, Reader, Xlsx, XlsxError};

use super::DataError;

/// Larger files are no table of patients.
const MAX_BYTES: u64 = 64 << 20;
/// A cell further out is a slip; a sheet has room for 16,384 columns of 1,048,576 rows, and memory has not.
const MAX_ROWS: usize = 1 << 20;
const MAX_COLUMNS: usize = 1 << 10;
/// Cells of a table, filled or not.
const MAX_CELLS: usize = 1 << 22;

/// The rows of a table. Cells are trimmed; what stands for "not known" is empty.
pub(super) struct Sheet {
    pub path: PathBuf,
    /// Numbers of the rows in the file, from 1, and their cells.
    pub rows: Vec<(usize, Vec<String>)>,
}

impl Sheet {
    /// Reads the first sheet of a workbook, or a text table. Whether commas, semicolons or tabs part the
    /// cells, the first line tells.
    pub(super) fn read(path: &Path) -> Result<Self, DataError> {
        let unreadable = |reason: String| DataError::Table {
            path: path.to_owned(),
            reason,
        };
        let length = fs::metadata(path).map_err(|error| unreadable(error.to_string()))?;
        if length.len() > MAX_BYTES {
            return Err(unreadable(format!("{} bytes are no table", length.len())));
        }
        let bytes = fs::read(path).map_err(|error| unreadable(error.to_string()))?;
        let is_workbook = path
            .extension()
            .is_some_and(|extension| extension.eq_ignore_ascii_case("xlsx"));
        let rows = if is_workbook {
            workbook_rows(bytes).map_err(unreadable)?
        } else {
            text_rows(&bytes).map_err(unreadable)?
        };
        Ok(Self {
            path: path.to_owned(),
            rows,
        })
    }
}

/// Cell by cell: calamine's own range would hold every cell up to the outermost.
fn workbook_rows(bytes: Vec<u8>) -> Result<Vec<(usize, Vec<String>)>, String> {
    let words = |error: XlsxError| error.to_string();
    let mut workbook = Xlsx::new(Cursor::new(bytes)).map_err(words)?;
    let name = workbook.sheet_names().into_iter().next();
    let name = name.ok_or("the workbook has no sheet")?;
    let mut cells = workbook.worksheet_cells_reader(&name).map_err(words)?;
    let mut rows: Vec<(usize, Vec<String>)> = vec![];
    let mut held = 0;
    while let Some(cell) = cells.next_cell().map_err(words)? {
        let (row, column) = cell.get_position();
        let (row, column) = (row as usize + 1, column as usize);
        let value = cell.get_value();
        if value.is_empty() || value.is_error() {
            continue;
        }
        if row > MAX_ROWS || column >= MAX_COLUMNS {
            return Err(format!(
                "a cell in row {row}, column {} is not of a table of patients",
                column + 1
            ));
        }
        match rows.last() {
            Some((last, _)) if *last == row => {}
            Some((last, _)) if *last > row => return Err("its rows are not in order".to_owned()),
            _ => rows.push((row, vec![])),
        }
        let Some((_, cells)) = rows.last_mut() else {
            continue;
        };
        if column >= cells.len() {
            held += column + 1 - cells.len();
            if held > MAX_CELLS {
                return Err(format!(
                    "more than {MAX_CELLS} cells are no table of patients"
                ));
            }
            cells.resize(column + 1, String::new());
        }
        cells[column] = known(&Data::from(value.clone()).to_string());
    }
    Ok(rows)
}

fn text_rows(bytes: &[u8]) -> Result<Vec<(usize, Vec<String>)>, String> {
    let first_line = bytes
        .split(|byte| *byte == b'\n')
        .next()
        .unwrap_or_default();
    let count = |wanted: u8| first_line.iter().filter(|byte| **byte == wanted).count();
    // The first of equals: commas where none of them occurs.
    let delimiter = [b'\t', b';', b',']
        .into_iter()
        .max_by_key(|byte| count(*byte))
        .unwrap_or(b',');
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(delimiter)
        .from_reader(bytes);
    let mut rows = vec![];
    let mut held = 0;
    for record in reader.byte_records() {
        let record = record.map_err(|error| error.to_string())?;
        let row = record.position().map_or(0, |place| place.line() as usize);
        held += record.len();
        if held > MAX_CELLS {
            return Err(format!(
                "more than {MAX_CELLS} cells are no table of patients"
            ));
        }
        let cells = record
            .iter()
            .map(|cell| known(&String::from_utf8_lossy(cell)));
        rows.push((row, cells.collect()));
    }
    Ok(rows)
}

/// Without spaces and the mark of byte order around it; empty where people write that they do not know.
fn known(cell: &str) -> String {
    let cell = cell.trim_matches(|c: char| c.is_whitespace() || c == '\u{feff}');
    let unknown = ["n/a", "na", "nan", "null", "none", "-", "?", "unknown"];
    if unknown.iter().any(|word| cell.eq_ignore_ascii_case(word)) {
        String::new()
    } else {
        cell.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cells(text: &str) -> Vec<Vec<String>> {
        let rows = text_rows(text.as_bytes()).expect("a table");
        rows.into_iter().map(|(_, cells)| cells).collect()
    }

    #[test]
    fn commas_semicolons_and_tabs_are_told_by_the_first_line() {
        for text in [
            "id,edss\n1,2.5\n",
            "id;edss\r\n1;2.5\r\n",
            "\u{feff}id\tedss\n1\t2.5",
        ] {
            assert_eq!(cells(text), [["id", "edss"], ["1", "2.5"]], "{text:?}");
        }
        assert_eq!(cells("id;note\n1;a, b"), [["id", "note"], ["1", "a, b"]]);
    }

    #[test]
    fn quotes_hold_delimiters_and_lines_together() {
        let rows =
            text_rows(b"id,note\n1,\"Motor, \"\"left\"\"\nand right\"\n2,n/a\n").expect("a table");
        assert_eq!(
            rows[1],
            (
                2,
                vec!["1".to_owned(), "Motor, \"left\"\nand right".to_owned()]
            )
        );
        assert_eq!(
            rows[2],
            (4, vec!["2".to_owned(), String::new()]),
            "the line in the file"
        );
    }

    #[test]
    fn rows_of_other_lengths_and_other_encodings_are_kept() {
        assert_eq!(
            cells("a,b\n1\n1,2,3\n")
                .iter()
                .map(Vec::len)
                .collect::<Vec<_>>(),
            [2, 1, 3]
        );
        assert_eq!(
            text_rows(b"id,\xE9dss\n").expect("a table")[0].1[1],
            "\u{fffd}dss"
        );
    }
}
