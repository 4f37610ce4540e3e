//! Items of the content of a structured report (PS3.3, C.17.3).

use dicom_core::{DataElement, Tag, VR};
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;

use super::{
    object::{Code, Object, sequence},
    source::SourceImage,
};

/// How an item belongs to the one above it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Relation {
    Contains,
    HasObservationContext,
    HasAcquisitionContext,
    HasConceptModifier,
}

impl Relation {
    fn name(self) -> &'static str {
        match self {
            Self::Contains => "CONTAINS",
            Self::HasObservationContext => "HAS OBS CONTEXT",
            Self::HasAcquisitionContext => "HAS ACQ CONTEXT",
            Self::HasConceptModifier => "HAS CONCEPT MOD",
        }
    }
}

/// Makes items for one report, whose character set they have.
pub(super) struct Content<'a>(pub &'a Object);

impl Content<'_> {
    fn item(&self, relation: Relation, kind: &str, name: &Code) -> InMemDicomObject {
        let mut item = InMemDicomObject::from_element_iter([
            DataElement::new(tags::RELATIONSHIP_TYPE, VR::CS, relation.name()),
            DataElement::new(tags::VALUE_TYPE, VR::CS, kind),
        ]);
        item.put(self.codes(tags::CONCEPT_NAME_CODE_SEQUENCE, name));
        item
    }

    pub(super) fn codes(&self, tag: Tag, code: &Code) -> DataElement<InMemDicomObject> {
        sequence(tag, vec![code.item(self.0)])
    }

    pub(super) fn text(&self, relation: Relation, name: &Code, text: &str) -> InMemDicomObject {
        let mut item = self.item(relation, "TEXT", name);
        item.put(DataElement::new(
            tags::TEXT_VALUE,
            VR::UT,
            self.0.text(text),
        ));
        item
    }

    pub(super) fn code(&self, relation: Relation, name: &Code, value: &Code) -> InMemDicomObject {
        let mut item = self.item(relation, "CODE", name);
        item.put(self.codes(tags::CONCEPT_CODE_SEQUENCE, value));
        item
    }

    pub(super) fn uid(&self, relation: Relation, name: &Code, uid: &str) -> InMemDicomObject {
        let mut item = self.item(relation, "UIDREF", name);
        item.put(DataElement::new(tags::UID, VR::UI, uid));
        item
    }

    /// A share, from 0 to 1, with what is known of how it came about.
    pub(super) fn share(
        &self,
        name: &Code,
        share: f32,
        below: Vec<InMemDicomObject>,
    ) -> InMemDicomObject {
        let mut item = self.item(Relation::Contains, "NUM", name);
        let unit = Code::new("{0:1}", "UCUM", "range: 0:1");
        let mut measured = InMemDicomObject::new_empty();
        measured.put(DataElement::new(
            tags::NUMERIC_VALUE,
            VR::DS,
            format!("{share:.6}"),
        ));
        measured.put(self.codes(tags::MEASUREMENT_UNITS_CODE_SEQUENCE, &unit));
        item.put(sequence(tags::MEASURED_VALUE_SEQUENCE, vec![measured]));
        if !below.is_empty() {
            item.put(sequence(tags::CONTENT_SEQUENCE, below));
        }
        item
    }

    pub(super) fn image(
        &self,
        name: &Code,
        image: &SourceImage,
        below: Vec<InMemDicomObject>,
    ) -> InMemDicomObject {
        let mut item = self.item(Relation::Contains, "IMAGE", name);
        item.put(sequence(
            tags::REFERENCED_SOP_SEQUENCE,
            vec![reference(image, None)],
        ));
        if !below.is_empty() {
            item.put(sequence(tags::CONTENT_SEQUENCE, below));
        }
        item
    }

    pub(super) fn container(&self, name: &Code, below: Vec<InMemDicomObject>) -> InMemDicomObject {
        let mut item = self.item(Relation::Contains, "CONTAINER", name);
        let continuity = DataElement::new(tags::CONTINUITY_OF_CONTENT, VR::CS, "SEPARATE");
        item.put(continuity);
        item.put(sequence(tags::CONTENT_SEQUENCE, below));
        item
    }
}

/// Names an image, and where it has several frames, one of them, from 1.
pub(super) fn reference(image: &SourceImage, frame: Option<usize>) -> InMemDicomObject {
    let mut item = InMemDicomObject::from_element_iter([
        DataElement::new(tags::REFERENCED_SOP_CLASS_UID, VR::UI, image.class.as_str()),
        DataElement::new(
            tags::REFERENCED_SOP_INSTANCE_UID,
            VR::UI,
            image.instance.as_str(),
        ),
    ]);
    if let Some(frame) = frame {
        let number = DataElement::new(tags::REFERENCED_FRAME_NUMBER, VR::IS, frame.to_string());
        item.put(number);
    }
    item
}
