//! What a report and a capture have in common: patient, study, series, maker; and how they become files.

use dicom_core::{DataElement, PrimitiveValue, Tag, VR, value::DataSetSequence};
use dicom_dictionary_std::{tags, uids};
use dicom_object::{FileMetaTableBuilder, InMemDicomObject};

use super::source::{Source, TAKEN_OVER};
use crate::{Predictions, ResultsError};

/// This program in the meta information of files: the UID of a UUID that was drawn for it once.
const IMPLEMENTATION: &str = "2.25.75531010817885960252290493598031228767";
/// Type 2 of every object: there, and perhaps empty.
const NEVER_ABSENT: [Tag; 9] = [
    tags::STUDY_DATE,
    tags::STUDY_TIME,
    tags::ACCESSION_NUMBER,
    tags::REFERRING_PHYSICIAN_NAME,
    tags::PATIENT_NAME,
    tags::PATIENT_ID,
    tags::PATIENT_BIRTH_DATE,
    tags::PATIENT_SEX,
    tags::STUDY_ID,
];

/// When the prediction was made, as DICOM writes it, in UTC.
pub(super) struct Stamp {
    pub date: String,
    pub time: String,
    /// Both, with the distance from UTC.
    pub moment: String,
}

impl Stamp {
    /// Of predictions that have been checked.
    pub(super) fn of(predictions: &Predictions) -> Self {
        let moment: jiff::Timestamp = predictions.date.parse().unwrap_or_default();
        let in_utc = |format: &str| moment.strftime(format).to_string();
        Self {
            date: in_utc("%Y%m%d"),
            time: in_utc("%H%M%S"),
            moment: in_utc("%Y%m%d%H%M%S+0000"),
        }
    }
}

/// What tells an object from others.
pub(super) struct Label<'a> {
    pub class: &'a str,
    pub instance: String,
    pub series: String,
    pub modality: &'a str,
    pub series_number: usize,
    pub series_description: &'a str,
    pub instance_number: usize,
}

/// An object on its way: its values so far, and what texts it takes.
pub(super) struct Object {
    pub values: InMemDicomObject,
    unicode: bool,
}

impl Object {
    /// Of the patient and study of `source`.
    pub(super) fn new(
        predictions: &Predictions,
        source: &Source,
        label: Label<'_>,
        stamp: &Stamp,
    ) -> Self {
        let mut object = Self {
            values: InMemDicomObject::new_empty(),
            unicode: source.takes_unicode(),
        };
        for (tag, vr) in TAKEN_OVER {
            if NEVER_ABSENT.contains(&tag) {
                object.put_raw(tag, vr, vec![]);
            }
            object.copy_from(source, tag, vr);
        }
        let has = |tag| source.values.contains_key(&tag);
        if has(tags::PATIENT_IDENTITY_REMOVED) && !has(tags::DEIDENTIFICATION_METHOD) {
            // The source tells the method by codes.
            let text = "As told in the source images";
            object.put(tags::DEIDENTIFICATION_METHOD, VR::LO, text);
        }
        object.put(tags::STUDY_INSTANCE_UID, VR::UI, &source.study);
        if object.unicode {
            object.put(tags::SPECIFIC_CHARACTER_SET, VR::CS, "ISO_IR 192");
        }
        object.put(tags::SOP_CLASS_UID, VR::UI, label.class);
        object.put(tags::SOP_INSTANCE_UID, VR::UI, &label.instance);
        object.put(tags::SERIES_INSTANCE_UID, VR::UI, &label.series);
        object.put(tags::MODALITY, VR::CS, label.modality);
        object.put(
            tags::SERIES_NUMBER,
            VR::IS,
            &label.series_number.to_string(),
        );
        object.put(tags::SERIES_DESCRIPTION, VR::LO, label.series_description);
        object.put(
            tags::INSTANCE_NUMBER,
            VR::IS,
            &label.instance_number.to_string(),
        );
        for (date, time) in [
            (tags::INSTANCE_CREATION_DATE, tags::INSTANCE_CREATION_TIME),
            (tags::CONTENT_DATE, tags::CONTENT_TIME),
        ] {
            object.put(date, VR::DA, &stamp.date);
            object.put(time, VR::TM, &stamp.time);
        }
        object.put(tags::MANUFACTURER, VR::LO, "myelin");
        object.put(
            tags::MANUFACTURER_MODEL_NAME,
            VR::LO,
            &first(&predictions.made_by, 64),
        );
        object.put(
            tags::SOFTWARE_VERSIONS,
            VR::LO,
            &first(&predictions.made_by, 64),
        );
        object
    }

    /// A text of ours.
    pub(super) fn put(&mut self, tag: Tag, vr: VR, text: &str) {
        let element = DataElement::new(tag, vr, self.text(text));
        self.values.put(element);
    }

    /// A text that any part of the object may hold.
    pub(super) fn text(&self, text: &str) -> String {
        let fits = |c: char| self.unicode || c.is_ascii();
        text.chars()
            .map(|c| if fits(c) { c } else { '?' })
            .collect()
    }

    /// A value as it stands in the source, where it has one.
    pub(super) fn copy_from(&mut self, source: &Source, tag: Tag, vr: VR) {
        if let Some(value) = source.values.get(&tag) {
            self.put_raw(tag, vr, value.clone());
        }
    }

    /// A value as it stands in another file.
    fn put_raw(&mut self, tag: Tag, vr: VR, mut value: Vec<u8>) {
        // A decimal is written as a number where it comes as bytes.
        if matches!(vr, VR::DS | VR::IS) {
            if let Ok(text) = String::from_utf8(value) {
                self.values.put(DataElement::new(tag, vr, text));
            }
            return;
        }
        if value.len() % 2 == 1 {
            value.push(b' ');
        }
        let bytes = PrimitiveValue::U8(value.into());
        self.values.put(DataElement::new(tag, vr, bytes));
    }

    /// A sequence.
    pub(super) fn put_items(&mut self, tag: Tag, items: Vec<InMemDicomObject>) {
        self.values.put(sequence(tag, items));
    }
}

/// The beginning of a text, in characters.
pub(super) fn first(text: &str, characters: usize) -> String {
    text.chars().take(characters).collect()
}

/// A sequence of items.
pub(super) fn sequence(tag: Tag, items: Vec<InMemDicomObject>) -> DataElement<InMemDicomObject> {
    DataElement::new(tag, VR::SQ, DataSetSequence::from(items))
}

/// A coded concept.
#[derive(Clone, Debug)]
pub(super) struct Code {
    pub value: String,
    pub scheme: &'static str,
    /// At most 64 characters.
    pub meaning: String,
}

impl Code {
    pub(super) fn new(value: &str, scheme: &'static str, meaning: &str) -> Self {
        Self {
            value: value.to_owned(),
            scheme,
            meaning: meaning.to_owned(),
        }
    }

    /// As an item of a sequence of codes.
    pub(super) fn item(&self, object: &Object) -> InMemDicomObject {
        InMemDicomObject::from_element_iter([
            DataElement::new(tags::CODE_VALUE, VR::SH, self.value.clone()),
            DataElement::new(tags::CODING_SCHEME_DESIGNATOR, VR::SH, self.scheme),
            DataElement::new(tags::CODE_MEANING, VR::LO, object.text(&self.meaning)),
        ])
    }
}

/// The object as a file, in explicit little endian.
pub(super) fn file(object: Object) -> Result<Vec<u8>, ResultsError> {
    let meta = FileMetaTableBuilder::new()
        .transfer_syntax(uids::EXPLICIT_VR_LITTLE_ENDIAN)
        .implementation_class_uid(IMPLEMENTATION)
        .implementation_version_name("MYELIN");
    let encoded = object.values.with_meta(meta);
    let file = encoded.map_err(|error| ResultsError::encode("a DICOM object")(error.into()))?;
    let mut bytes = vec![];
    file.write_all(&mut bytes)
        .map_err(|error| ResultsError::encode("a DICOM object")(error.into()))?;
    Ok(bytes)
}
