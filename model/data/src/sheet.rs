//! A table as people keep it: .xlsx, .csv or .tsv, as rows of text.

use std::{
    fs,
    io::{Cursor, Read as _},
    panic,
    path::{Path, PathBuf},
};

use calamine::{Data, DataType, Reader, SheetType, SheetVisible, Xlsx, XlsxError};
use zip::ZipArchive;

use super::{
    DataError,
    table_row::{MAX_CELLS, Row, known},
    text_table::TextTable,
};

/// Larger files are no table of patients.
const MAX_BYTES: u64 = 64 << 20;
/// A cell further out is a slip; a sheet has room for 16,384 columns of 1,048,576 rows, and memory has not.
const MAX_ROWS: usize = 1 << 20;
const MAX_COLUMNS: usize = 1 << 10;

/// The list of sheets and settings of a workbook.
const MAX_WORKBOOK_XML: u64 = 1 << 20;

/// The rows of a table. Cells are trimmed; what stands for "not known" is empty.
pub(super) struct Sheet {
    /// Of a workbook's sheet.
    pub name: Option<String>,
    pub rows: Vec<Row>,
    /// Whether a row with more cells than the header has been parted wrongly: in a workbook, a remark stands there.
    pub parted_text: bool,
    /// Whether letters were lost, see [`TextTable::lossy`].
    pub lossy: bool,
}

impl Sheet {
    /// Reads the sheets of a workbook that a person sees, in their order, or a text table. Which of the two a file is, its first bytes
    /// tell.
    pub(super) fn read(path: &Path) -> Result<Vec<Self>, DataError> {
        let unreadable = |reason: String| DataError::Table {
            path: PathBuf::from(path),
            reason,
        };
        let length = fs::metadata(path).map_err(|error| unreadable(error.to_string()))?;
        if length.len() > MAX_BYTES {
            return Err(unreadable(format!("{} bytes are no table", length.len())));
        }
        let bytes = fs::read(path).map_err(|error| unreadable(error.to_string()))?;
        let is_named_workbook = path
            .extension()
            .is_some_and(|extension| extension.eq_ignore_ascii_case("xlsx"));
        if bytes.starts_with(b"PK\x03\x04") {
            // calamine 0.38 computes with the name of a cell before it looks whether it can be one ("inlineStr").
            let sheets = panic::catch_unwind(|| workbook(bytes));
            let sheets =
                sheets.unwrap_or_else(|_| Err("the names of its cells are damaged".to_owned()));
            return sheets.map_err(unreadable);
        }
        if bytes.starts_with(b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1") {
            let reason = "it is an old workbook (.xls), or one with a password, whatever its name says: save it as .xlsx without a password";
            return Err(unreadable(reason.to_owned()));
        }
        if is_named_workbook {
            let reason = "it is no workbook, although its name ends so: save it again as .xlsx, or name it .csv if it is text";
            return Err(unreadable(reason.to_owned()));
        }
        let TextTable { rows, lossy } = TextTable::read(&bytes).map_err(unreadable)?;
        Ok(vec![Self {
            name: None,
            rows,
            parted_text: true,
            lossy,
        }])
    }
}

fn workbook(bytes: Vec<u8>) -> Result<Vec<Sheet>, String> {
    let left_to_compute = is_left_to_compute(&bytes);
    let mut workbook = Xlsx::new(Cursor::new(bytes)).map_err(words)?;
    let metadata = workbook.sheets_metadata().iter();
    let visible = metadata.filter(|sheet| {
        sheet.visible == SheetVisible::Visible && sheet.typ == SheetType::WorkSheet
    });
    let names: Vec<String> = visible.map(|sheet| sheet.name.clone()).collect();
    if names.is_empty() {
        return Err("the workbook has no sheet that is not hidden".to_owned());
    }
    let mut held = 0;
    names
        .into_iter()
        .map(|name| {
            let (rows, formulas) = rows_of(&mut workbook, &name, &mut held)?;
            formulas.check(&name, left_to_compute)?;
            Ok(Sheet {
                name: Some(name),
                rows,
                parted_text: false,
                lossy: false,
            })
        })
        .collect()
}

/// Cell by cell: calamine's own range would hold every cell up to the outermost. `held` counts the cells of the workbook.
fn rows_of(
    workbook: &mut Xlsx<Cursor<Vec<u8>>>,
    name: &str,
    held: &mut usize,
) -> Result<(Vec<Row>, Formulas), String> {
    let mut cells = workbook.worksheet_cells_reader(name).map_err(words)?;
    let mut rows: Vec<Row> = vec![];
    let mut formulas = Formulas::default();
    while let Some(cell) = cells.next_cell_with_formula().map_err(words)? {
        let (row, column) = cell.pos;
        let (row, column) = (row as usize + 1, column as usize);
        let value = Data::from(cell.value);
        if cell.formula.is_some() {
            formulas.add(&value);
        }
        if value.is_empty() {
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
            *held += column + 1 - cells.len();
            if *held > MAX_CELLS {
                return Err(format!(
                    "more than {MAX_CELLS} cells are no table of patients"
                ));
            }
            cells.resize(column + 1, String::new());
        }
        cells[column] = known(&value.to_string());
    }
    Ok((rows, formulas))
}

/// Whether whoever opens the workbook is to compute its formulas first (`fullCalcOnLoad`).
fn is_left_to_compute(bytes: &[u8]) -> bool {
    let mut xml = String::new();
    let Ok(mut archive) = ZipArchive::new(Cursor::new(bytes)) else {
        return false;
    };
    let Ok(file) = archive.by_name("xl/workbook.xml") else {
        return false;
    };
    let read = file.take(MAX_WORKBOOK_XML).read_to_string(&mut xml);
    read.is_ok()
        && ["1", "true"]
            .iter()
            .any(|yes| xml.contains(&format!("fullCalcOnLoad=\"{yes}\"")))
}

/// The formulas of a sheet. A program that writes a workbook keeps 0 or nothing for what it has not computed.
#[derive(Default)]
struct Formulas {
    blank: usize,
    zero: usize,
    others: usize,
}

impl Formulas {
    fn add(&mut self, kept: &Data) {
        if kept.is_empty() || kept.as_string().is_some_and(|text| text.is_empty()) {
            self.blank += 1;
        } else if kept.as_f64() == Some(0.0) {
            self.zero += 1;
        } else {
            self.others += 1;
        }
    }

    /// A formula may well be 0 for all: that it was never computed is seen where the workbook leaves that to whoever opens it.
    fn check(&self, sheet: &str, left_to_compute: bool) -> Result<(), String> {
        let only_zeros = self.zero > 0 && left_to_compute;
        if self.others > 0 || !(self.blank > 0 || only_zeros) {
            return Ok(());
        }
        Err(format!(
            "the formulas of sheet '{sheet}' were never computed: open the workbook, replace them by their values, and save it"
        ))
    }
}

fn words(error: XlsxError) -> String {
    match error {
        XlsxError::FileNotFound(_) => {
            "it is packed as a workbook (.xlsx) is, and holds none: save it as .xlsx".to_owned()
        }
        other => other.to_string(),
    }
}
