//! A row of a table, whatever file it is from.

/// Cells of a file, filled or not.
pub(super) const MAX_CELLS: usize = 1 << 22;

/// Number of a row in the file, from 1, and its cells.
pub(super) type Row = (usize, Vec<String>);

/// Without spaces and the mark of byte order around it; empty where people write that they do not know.
pub(super) fn known(cell: &str) -> String {
    let cell = cell.trim_matches(|c: char| c.is_whitespace() || c == '\u{feff}');
    let unknown = ["n/a", "#n/a", "na", "nan", "null", "-", "?", "unknown"];
    if unknown.iter().any(|word| cell.eq_ignore_ascii_case(word)) {
        String::new()
    } else {
        cell.to_owned()
    }
}
