//! Writes NIfTI-1 files and .xlsx workbooks byte by byte, apart from the code that reads them.

use std::io::Write;

use flate2::{Compression, Crc, write::GzEncoder};

/// Byte order of a file.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Order {
    Little,
    Big,
}

/// Fields of nifti1.h that the tests vary.
#[derive(Clone)]
pub struct Header {
    pub order: Order,
    pub dims: Vec<i16>,
    pub datatype: i16,
    pub slope: f32,
    pub intercept: f32,
    /// Rows of the sform; `None` leaves `sform_code` at 0.
    pub sform: Option<[[f32; 4]; 3]>,
    pub magic: [u8; 4],
}

/// float32 in the frame of the volume: left, back, head, 1 mm.
pub const LPS: [[f32; 4]; 3] = [
    [-1.0, 0.0, 0.0, 0.0],
    [0.0, -1.0, 0.0, 0.0],
    [0.0, 0.0, 1.0, 0.0],
];

impl Header {
    pub fn float32(dims: [i16; 3]) -> Self {
        Self {
            order: Order::Little,
            dims: dims.to_vec(),
            datatype: 16,
            slope: 0.0,
            intercept: 0.0,
            sform: Some(LPS),
            magic: *b"n+1\0",
        }
    }

    fn short(&self, value: i16) -> [u8; 2] {
        match self.order {
            Order::Little => value.to_le_bytes(),
            Order::Big => value.to_be_bytes(),
        }
    }

    fn float(&self, value: f32) -> [u8; 4] {
        match self.order {
            Order::Little => value.to_le_bytes(),
            Order::Big => value.to_be_bytes(),
        }
    }

    /// 348 bytes of header, 4 of (no) extension, and the voxels as they are given.
    pub fn file(&self, voxels: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; 352];
        let mut put = |offset: usize, field: &[u8]| {
            bytes[offset..offset + field.len()].copy_from_slice(field);
        };
        put(0, &self.short(348));
        if self.order == Order::Big {
            put(0, &[0, 0, 1, 92]);
        }
        put(40, &self.short(self.dims.len() as i16));
        for (place, &dim) in self.dims.iter().enumerate() {
            put(42 + 2 * place, &self.short(dim));
        }
        put(70, &self.short(self.datatype));
        for place in 0..4 {
            put(76 + 4 * place, &self.float(1.0));
        }
        put(108, &self.float(352.0));
        put(112, &self.float(self.slope));
        put(116, &self.float(self.intercept));
        put(123, &[2]);
        if let Some(rows) = self.sform {
            put(254, &self.short(1));
            for (place, &value) in rows.as_flattened().iter().enumerate() {
                put(280 + 4 * place, &self.float(value));
            }
        }
        put(344, &self.magic);
        bytes.extend_from_slice(voxels);
        bytes
    }
}

/// A head of `dims` voxels, little-endian float32: tissue inside a margin of air, with a bright
/// right front quarter.
pub fn head(dims: [i16; 3]) -> Vec<u8> {
    let [nx, ny, nz] = dims;
    let mut bytes = vec![];
    for z in 0..nz {
        for y in 0..ny {
            for x in 0..nx {
                let inside = |index: i16, count: i16| index > 0 && index < count - 1;
                let value = match inside(x, nx) && inside(y, ny) && inside(z, nz) {
                    true if x < nx / 2 && y < ny / 2 => 200.0_f32,
                    true => 100.0,
                    false => 0.0,
                };
                bytes.extend(value.to_le_bytes());
            }
        }
    }
    bytes
}

pub fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(vec![], Compression::fast());
    encoder.write_all(bytes).expect("writes to memory");
    encoder.finish().expect("writes to memory")
}

/// A workbook of one sheet. Cells that parse as numbers become numbers, empty ones are left out.
pub fn workbook(rows: &[Vec<String>]) -> Vec<u8> {
    let mut sheet = String::new();
    for (row, cells) in (1..).zip(rows) {
        sheet += &format!(r#"<row r="{row}">"#);
        for (column, cell) in (b'A'..).map(char::from).zip(cells) {
            let escaped = cell.replace('&', "&amp;").replace('<', "&lt;");
            sheet += &match cell.parse::<f64>() {
                _ if cell.is_empty() => String::new(),
                Ok(_) => format!(r#"<c r="{column}{row}"><v>{cell}</v></c>"#),
                Err(_) => format!(
                    r#"<c r="{column}{row}" t="inlineStr"><is><t xml:space="preserve">{escaped}</t></is></c>"#
                ),
            };
        }
        sheet += "</row>";
    }
    raw_workbook(&sheet)
}

/// A workbook of one sheet with these rows in XML.
pub fn raw_workbook(rows: &str) -> Vec<u8> {
    let sheet = format!(
        r#"<?xml version="1.0"?><worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>{rows}</sheetData></worksheet>"#,
    );
    let workbook = r#"<?xml version="1.0"?><workbook xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"><sheets><sheet name="Sheet1" sheetId="1" r:id="rId1"/></sheets></workbook>"#;
    let relations = r#"<?xml version="1.0"?><Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/worksheet" Target="worksheets/sheet1.xml"/></Relationships>"#;
    let root = r#"<?xml version="1.0"?><Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument" Target="xl/workbook.xml"/></Relationships>"#;
    stored_zip(&[
        ("_rels/.rels", root),
        ("xl/workbook.xml", workbook),
        ("xl/_rels/workbook.xml.rels", relations),
        ("xl/worksheets/sheet1.xml", &sheet),
    ])
}

/// A zip archive without compression (APPNOTE.TXT 4.3).
fn stored_zip(files: &[(&str, &str)]) -> Vec<u8> {
    let (mut archive, mut directory) = (vec![], vec![]);
    for (name, content) in files {
        let mut crc = Crc::new();
        crc.update(content.as_bytes());
        let mut fields = vec![20, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        fields.extend(crc.sum().to_le_bytes());
        fields.extend((content.len() as u32).to_le_bytes());
        fields.extend((content.len() as u32).to_le_bytes());
        fields.extend((name.len() as u16).to_le_bytes());
        fields.extend([0, 0]);
        let offset = archive.len() as u32;
        archive.extend(b"PK\x03\x04");
        archive.extend(&fields);
        archive.extend(name.as_bytes());
        archive.extend(content.as_bytes());
        directory.extend(b"PK\x01\x02\x14\x00");
        directory.extend(&fields);
        directory.extend([0; 10]);
        directory.extend(offset.to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let count = (files.len() as u16).to_le_bytes();
    let (start, length) = (archive.len() as u32, directory.len() as u32);
    archive.extend(directory);
    archive.extend(b"PK\x05\x06\0\0\0\0");
    archive.extend(count);
    archive.extend(count);
    archive.extend(length.to_le_bytes());
    archive.extend(start.to_le_bytes());
    archive.extend([0, 0]);
    archive
}
