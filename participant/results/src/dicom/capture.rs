//! A slice with its heat laid over it as a Secondary Capture: colours, one object a picture, which any viewer of DICOM shows.

use dicom_core::{DataElement, PrimitiveValue, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::InMemDicomObject;
use model_data::SliceGrid;

use super::{
    content::reference,
    object::{Code, Label, Object, Stamp, sequence},
    source::{LOSSY, Scan},
    uid::{Kind, derived},
};
use crate::{NOTICE, NOTICE_IN_FULL, Predictions, SlicePicture, picture::Overlay};

/// That of a patient's first scan; the others follow.
const FIRST_SERIES_NUMBER: usize = 9002;

/// What is captured.
pub(super) struct Slice<'a> {
    pub index: u32,
    pub picture: &'a SlicePicture,
    pub grid: Option<&'a SliceGrid>,
}

/// The capture of a slice, in the study of its scan.
pub(super) fn object(
    predictions: &Predictions,
    scan: &Scan,
    slice: &Slice<'_>,
    stamp: &Stamp,
) -> Object {
    let source = &scan.source;
    let index = slice.index.to_string();
    let label = Label {
        class: uids::SECONDARY_CAPTURE_IMAGE_STORAGE,
        instance: derived(
            Kind::Capture,
            &predictions.model,
            [source.series.as_str(), &index],
        ),
        series: derived(
            Kind::CaptureSeries,
            &predictions.model,
            [source.series.as_str()],
        ),
        modality: "OT",
        series_number: FIRST_SERIES_NUMBER + scan.place,
        series_description: "Where the model looked (Grad-CAM). Not for diagnosis",
        instance_number: slice.index as usize + 1,
    };
    let mut object = Object::new(predictions, source, label, stamp);
    object.put(tags::BODY_PART_EXAMINED, VR::CS, "BRAIN");
    object.put(tags::CONVERSION_TYPE, VR::CS, "WSD");
    let derived = DataElement::new(
        tags::IMAGE_TYPE,
        VR::CS,
        PrimitiveValue::Strs(["DERIVED", "SECONDARY"].map(String::from).to_vec().into()),
    );
    object.values.put(derived);
    object.put(
        tags::DERIVATION_DESCRIPTION,
        VR::ST,
        &format!(
            "Grad-CAM of the predicted class laid over an axial slice by {}. {NOTICE_IN_FULL}",
            predictions.made_by,
        ),
    );
    object.put(tags::IMAGE_COMMENTS, VR::LT, NOTICE);
    // Letters in the pixels say what this is not for and which side is which, and nothing of the patient.
    object.put(tags::BURNED_IN_ANNOTATION, VR::CS, "NO");
    // Once lossy, always lossy.
    object.put(tags::LOSSY_IMAGE_COMPRESSION, VR::CS, "00");
    for (tag, vr) in LOSSY {
        object.copy_from(source, tag, vr);
    }
    // Rows run to the patient's left, columns to the back.
    let towards = PrimitiveValue::Strs(["L", "P"].map(String::from).to_vec().into());
    object
        .values
        .put(DataElement::new(tags::PATIENT_ORIENTATION, VR::CS, towards));
    let sources = sources(&object, scan, slice);
    object.put_items(tags::SOURCE_IMAGE_SEQUENCE, sources);
    put_pixels(&mut object, Overlay::of(slice.picture));
    object
}

fn put_pixels(object: &mut Object, overlay: Overlay) {
    let mut number = |tag, number: u16| {
        let number = PrimitiveValue::from(number);
        object.values.put(DataElement::new(tag, VR::US, number));
    };
    number(tags::SAMPLES_PER_PIXEL, 3);
    number(tags::PLANAR_CONFIGURATION, 0);
    number(tags::ROWS, overlay.height);
    number(tags::COLUMNS, overlay.width);
    number(tags::BITS_ALLOCATED, 8);
    number(tags::BITS_STORED, 8);
    number(tags::HIGH_BIT, 7);
    number(tags::PIXEL_REPRESENTATION, 0);
    object.put(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "RGB");
    let pixels = PrimitiveValue::U8(overlay.rgb.into());
    object
        .values
        .put(DataElement::new(tags::PIXEL_DATA, VR::OB, pixels));
}

/// The image that the slice was cut from; all of them where the images are not the axial planes.
fn sources(object: &Object, scan: &Scan, slice: &Slice<'_>) -> Vec<InMemDicomObject> {
    let images = &scan.source.images;
    let owners = slice.grid.and_then(|grid| grid.images.as_ref());
    let owner = owners.and_then(|owners| {
        let (file, frame) = *owners.get(slice.index as usize)?;
        let several = owners.iter().any(|(_, frame)| *frame > 0);
        Some(reference(images.get(file)?, several.then_some(frame + 1)))
    });
    let mut items: Vec<InMemDicomObject> = match owner {
        Some(item) => vec![item],
        None => images.iter().map(|image| reference(image, None)).collect(),
    };
    let purpose = Code::new(
        "121322",
        "DCM",
        "Source image for image processing operation",
    );
    for item in &mut items {
        let code = vec![purpose.item(object)];
        item.put(sequence(tags::PURPOSE_OF_REFERENCE_CODE_SEQUENCE, code));
    }
    items
}
