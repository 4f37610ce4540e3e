//! Writes DICOM files byte by byte (explicit VR, little-endian), apart from the code that reads them.

/// A classic image; `None` leaves an attribute out.
#[derive(Clone)]
pub struct DicomImage {
    pub patient: Option<&'static str>,
    pub series: &'static str,
    pub description: Option<&'static str>,
    pub instance: Option<String>,
    pub position: Option<String>,
    pub orientation: &'static str,
    pub slope: Option<&'static str>,
    pub syntax: &'static str,
    pub rows: u16,
    pub columns: u16,
    pub cells: Vec<u16>,
    /// Further elements: tag, VR, text.
    pub extra: Vec<(u32, &'static str, String)>,
}

impl DicomImage {
    /// An axial image at a height, of `rows` x `columns` cells.
    pub fn axial(
        series: &'static str,
        height_mm: f64,
        rows: u16,
        columns: u16,
        cells: Vec<u16>,
    ) -> Self {
        Self {
            patient: Some("P1"),
            series,
            description: Some("t2_flair_tra"),
            instance: Some(format!("{series}.{height_mm}")),
            position: Some(format!("-10\\-20\\{height_mm}")),
            orientation: "1\\0\\0\\0\\1\\0",
            slope: None,
            syntax: "1.2.840.10008.1.2.1",
            rows,
            columns,
            cells,
            extra: vec![],
        }
    }

    /// With a further element.
    pub fn with(mut self, tag: u32, vr: &'static str, text: &str) -> Self {
        self.extra.push((tag, vr, text.to_owned()));
        self
    }

    /// The elements in front of the pixels, in the order of their tags.
    pub fn elements(&self) -> Vec<u8> {
        let number = |value: u16| value.to_le_bytes().to_vec();
        let text = |value: &str| value.as_bytes().to_vec();
        let elements = [
            (0x0008_0018, "UI", self.instance.as_deref().map(text)),
            (0x0008_103E, "LO", self.description.map(text)),
            (0x0010_0020, "LO", self.patient.map(text)),
            (0x0018_0050, "DS", Some(text("3"))),
            (0x0020_000E, "UI", Some(text(self.series))),
            (0x0020_0032, "DS", self.position.as_deref().map(text)),
            (0x0020_0037, "DS", Some(text(self.orientation))),
            (0x0028_0002, "US", Some(number(1))),
            (0x0028_0004, "CS", Some(text("MONOCHROME2"))),
            (0x0028_0010, "US", Some(number(self.rows))),
            (0x0028_0011, "US", Some(number(self.columns))),
            (0x0028_0030, "DS", Some(text("1\\1"))),
            (0x0028_0100, "US", Some(number(16))),
            (0x0028_0101, "US", Some(number(12))),
            (0x0028_0102, "US", Some(number(11))),
            (0x0028_0103, "US", Some(number(0))),
            (0x0028_1053, "DS", self.slope.map(text)),
        ];
        let extra = self.extra.iter();
        let extra = extra.map(|(tag, vr, value)| (*tag, *vr, Some(text(value))));
        let mut elements: Vec<_> = elements.into_iter().chain(extra).collect();
        elements.sort_by_key(|(tag, ..)| *tag);
        let mut bytes = vec![];
        for (tag, vr, value) in elements {
            if let Some(value) = value {
                bytes.extend(element(tag, vr, &value));
            }
        }
        bytes
    }

    pub fn file(&self) -> Vec<u8> {
        let pixels: Vec<u8> = self
            .cells
            .iter()
            .flat_map(|cell| cell.to_le_bytes())
            .collect();
        let pixels = element(0x7FE0_0010, "OW", &pixels);
        with_meta(self.syntax, &[self.elements(), pixels].concat())
    }
}

/// One element; its value is padded to an even length.
pub fn element(tag: u32, vr: &str, value: &[u8]) -> Vec<u8> {
    let mut value = value.to_vec();
    if value.len() % 2 == 1 {
        value.push(if vr == "UI" { 0 } else { b' ' });
    }
    let mut bytes = header(tag, vr, value.len() as u32);
    bytes.extend(value);
    bytes
}

/// Tag, VR and length.
pub fn header(tag: u32, vr: &str, length: u32) -> Vec<u8> {
    let mut bytes = vec![];
    bytes.extend(((tag >> 16) as u16).to_le_bytes());
    bytes.extend((tag as u16).to_le_bytes());
    if tag >> 16 == 0xFFFE {
        bytes.extend(length.to_le_bytes());
        return bytes;
    }
    bytes.extend(vr.as_bytes());
    if ["OB", "OW", "SQ", "UN"].contains(&vr) {
        bytes.extend([0, 0]);
        bytes.extend(length.to_le_bytes());
    } else {
        bytes.extend((length as u16).to_le_bytes());
    }
    bytes
}

/// Preamble, file meta information, and a data set.
pub fn with_meta(syntax: &str, dataset: &[u8]) -> Vec<u8> {
    let meta = element(0x0002_0010, "UI", syntax.as_bytes());
    let mut bytes = vec![0; 128];
    bytes.extend(b"DICM");
    bytes.extend(element(
        0x0002_0000,
        "UL",
        &(meta.len() as u32).to_le_bytes(),
    ));
    bytes.extend(meta);
    bytes.extend(dataset);
    bytes
}

/// Axial images of a head: tissue inside a margin of air, a bright right front quarter.
pub fn head_series(series: &'static str, [nx, ny, nz]: [u16; 3]) -> Vec<DicomImage> {
    let inside = |index: u16, count: u16| index > 0 && index < count - 1;
    let cell = |x, y, z| match inside(x, nx) && inside(y, ny) && inside(z, nz) {
        true if x < nx / 2 && y < ny / 2 => 200,
        true => 100,
        false => 0,
    };
    let plane = |z| {
        (0..ny)
            .flat_map(|y| (0..nx).map(move |x| cell(x, y, z)))
            .collect()
    };
    (0..nz)
        .map(|z| DicomImage::axial(series, f64::from(z) * 3.0, ny, nx, plane(z)))
        .collect()
}
