//! Which scanner a scan is from, as its DICOM header says or, of a NIfTI file, the JSON file beside it that converters and BIDS write.

use std::{fs::File, io::Read as _, path::Path};

use dicom_dictionary_std::tags;
use serde_json::Value;

use crate::{ScanFiles, read_dicom_values};

/// Maker, model and field of the scanner, such as `SIEMENS PRISMA, 3.0 T`, written so that two files of one scanner give the same; none
/// where neither maker nor model is known.
pub fn scanner_of(files: &ScanFiles) -> Option<String> {
    let told = match files {
        ScanFiles::Dicom(paths) => of_dicom(paths.first()?)?,
        ScanFiles::Nifti(path) => of_sidecar(path)?,
    };
    told.in_words()
}

/// As it is written in the file.
struct Told {
    maker: Option<String>,
    model: Option<String>,
    /// Tesla.
    field: Option<f64>,
}

impl Told {
    fn in_words(&self) -> Option<String> {
        // "Siemens Healthineers" and "SIEMENS" are one maker.
        let maker = self.maker.as_deref().and_then(|maker| {
            let first = maker.split([' ', ',', '_']).find(|word| !word.is_empty())?;
            plain(first)
        });
        let words: Vec<String> = [maker, self.model.as_deref().and_then(plain)]
            .into_iter()
            .flatten()
            .collect();
        if words.is_empty() {
            return None;
        }
        let mut words = words.join(" ");
        // Some write gauss.
        let field = self
            .field
            .map(|field| if field > 100.0 { field / 1e4 } else { field });
        if let Some(field) = field.filter(|field| (0.01..=30.0).contains(field)) {
            words += &format!(", {field:.1} T");
        }
        Some(words)
    }
}

/// In capitals, with single spaces, without what no name has.
fn plain(name: &str) -> Option<String> {
    let letters: String = { name.chars() }
        .map(|letter| {
            if letter.is_ascii_graphic() {
                letter
            } else {
                ' '
            }
        })
        .take(LONGEST)
        .collect();
    let words: Vec<&str> = letters.split_whitespace().collect();
    (!words.is_empty()).then(|| words.join(" ").to_uppercase())
}

fn of_dicom(path: &Path) -> Option<Told> {
    let [maker, model, field] = [
        tags::MANUFACTURER,
        tags::MANUFACTURER_MODEL_NAME,
        tags::MAGNETIC_FIELD_STRENGTH,
    ];
    let values = read_dicom_values(path, &[maker, model, field]).ok()?;
    let text = |tag| {
        let value = values.get(&tag)?;
        Some(
            String::from_utf8_lossy(value)
                .trim_matches(['\0', ' '])
                .to_owned(),
        )
    };
    Some(Told {
        maker: text(maker),
        model: text(model),
        field: text(field).and_then(|field| field.replace(',', ".").trim().parse().ok()),
    })
}

fn of_sidecar(path: &Path) -> Option<Told> {
    let name = path.file_name()?.to_str()?;
    let stem = name.strip_suffix(".gz").unwrap_or(name);
    let stem = stem.strip_suffix(".nii")?;
    let file = File::open(path.with_file_name(format!("{stem}.json"))).ok()?;
    let mut text = vec![];
    file.take(MAX_BYTES).read_to_end(&mut text).ok()?;
    let told: Value = serde_json::from_slice(&text).ok()?;
    let text = |key: &str| told.get(key)?.as_str().map(str::to_owned);
    let field = told.get("MagneticFieldStrength").unwrap_or(&Value::Null);
    Some(Told {
        maker: text("Manufacturer"),
        model: text("ManufacturersModelName"),
        field: field
            .as_f64()
            .or_else(|| field.as_str()?.trim().parse().ok()),
    })
}

/// Of a name, letters.
const LONGEST: usize = 64;
/// Of a file beside a scan.
const MAX_BYTES: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn told(maker: &str, model: &str, field: Option<f64>) -> Option<String> {
        let known = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Told {
            maker: known(maker),
            model: known(model),
            field,
        }
        .in_words()
    }

    #[test]
    fn two_ways_of_writing_one_scanner_give_the_same() {
        let first = told("SIEMENS", "Prisma", Some(3.0));
        assert_eq!(first.as_deref(), Some("SIEMENS PRISMA, 3.0 T"));
        assert_eq!(first, told("Siemens Healthineers", " prisma ", Some(2.98)));
        assert_eq!(first, told("Siemens", "PRISMA\0", Some(30_000.0)));
        assert_ne!(first, told("SIEMENS", "Prisma", Some(1.5)));
        assert_ne!(first, told("SIEMENS", "Skyra", Some(3.0)));
        assert_eq!(
            told("GE MEDICAL SYSTEMS", "", Some(-1.0)).as_deref(),
            Some("GE")
        );
        assert_eq!(told(" ", "\u{1}", Some(3.0)), None);
        let long = told(&"x".repeat(5000), "", None).expect("a name");
        assert_eq!(long.len(), LONGEST);
    }

    #[test]
    fn the_file_beside_a_nifti_file_tells_and_a_damaged_one_does_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let scan = |name: &str| ScanFiles::Nifti(folder.path().join(name));
        let write = |name: &str, text: &str| {
            fs::write(folder.path().join(name), text).expect("written");
        };
        write(
            "sub-1_FLAIR.json",
            r#"{"Manufacturer": "Philips", "ManufacturersModelName": "Ingenia", "MagneticFieldStrength": 1.5, "EchoTime": 0.1}"#,
        );
        let ingenia = Some("PHILIPS INGENIA, 1.5 T".to_owned());
        assert_eq!(scanner_of(&scan("sub-1_FLAIR.nii.gz")), ingenia);
        assert_eq!(scanner_of(&scan("sub-1_FLAIR.nii")), ingenia);
        write(
            "sub-4.json",
            r#"{"Manufacturer": "Philips", "ManufacturersModelName": 7, "MagneticFieldStrength": "3"}"#,
        );
        let philips = Some("PHILIPS, 3.0 T".to_owned());
        assert_eq!(scanner_of(&scan("sub-4.nii.gz")), philips);
        for text in ["{", "[]", r#"{"Manufacturer": 7}"#, "{}", "null"] {
            write("sub-2.json", text);
            assert_eq!(scanner_of(&scan("sub-2.nii.gz")), None, "{text}");
        }
        assert_eq!(scanner_of(&scan("sub-3.nii.gz")), None);
        assert_eq!(scanner_of(&ScanFiles::Dicom(vec![])), None);
        let absent = folder.path().join("absent.dcm");
        assert_eq!(scanner_of(&ScanFiles::Dicom(vec![absent])), None);
    }
}
