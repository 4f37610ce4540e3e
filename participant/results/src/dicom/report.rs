//! The prediction of one patient as a structured report: a Measurement Report (PS3.16, TID 1500).
//!
//! ```text
//! Imaging Measurement Report
//!   language, the program as observer, what was examined
//!   Image Library            the images that the model was asked about
//!   Imaging Measurements
//!     Measurement Group      (TID 1501)
//!       algorithm            (TID 4019) name, version; hash of the model, round, run, conditioning
//!       a number a class     its probability, the mean over the slices
//!       two numbers          the interval of the predicted class's
//!       the predicted class
//!       comments             not for diagnosis; the flags
//!       the images again, as sources
//! ```
//!
//! Its class is Comprehensive SR, the one among those that TID 1500 may stand in which most archives take; nothing here needs the
//! coordinates that the larger classes have. Concepts for which there is no code have one of the scheme `99MYELIN`, which the report
//! declares. Times are in UTC; that of the observation says so.

use dicom_core::{DataElement, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::InMemDicomObject;

use super::{
    content::{Content, Relation, reference},
    object::{Code, Label, Object, Stamp, sequence},
    source::{Scan, SourceImage},
    uid::{Kind, derived},
};
use crate::{NOTICE_IN_FULL, PatientPrediction, Predictions};

/// The scheme of codes that are ours.
const SCHEME: &str = "99MYELIN";
/// Far behind the series of a scanner.
const SERIES_NUMBER: usize = 9001;

/// The report, in the study of `first`, which is one of `scans`.
pub(super) fn object(
    predictions: &Predictions,
    patient: &PatientPrediction,
    scans: &[Scan],
    first: &Scan,
    stamp: &Stamp,
) -> Object {
    let sources = || {
        let images = scans.iter().flat_map(|scan| &scan.source.images);
        let mut instances: Vec<&str> = images.map(|image| image.instance.as_str()).collect();
        instances.sort_unstable();
        instances
    };
    let label = Label {
        class: uids::COMPREHENSIVE_SR_STORAGE,
        instance: derived(Kind::Report, &predictions.model, sources()),
        series: derived(Kind::ReportSeries, &predictions.model, sources()),
        modality: "SR",
        series_number: SERIES_NUMBER,
        series_description: "Predicted disability (EDSS). Not for diagnosis",
        instance_number: 1,
    };
    let mut object = Object::new(predictions, &first.source, label, stamp);
    object.put(tags::COMPLETION_FLAG, VR::CS, "COMPLETE");
    object.put(tags::VERIFICATION_FLAG, VR::CS, "UNVERIFIED");
    object.put(tags::PRELIMINARY_FLAG, VR::CS, "PRELIMINARY");
    object.put(tags::VALUE_TYPE, VR::CS, "CONTAINER");
    object.put(tags::CONTINUITY_OF_CONTENT, VR::CS, "SEPARATE");
    object.put(tags::OBSERVATION_DATE_TIME, VR::DT, &stamp.moment);
    object.put_items(tags::REFERENCED_PERFORMED_PROCEDURE_STEP_SEQUENCE, vec![]);
    object.put_items(tags::PERFORMED_PROCEDURE_CODE_SEQUENCE, vec![]);
    object.put_items(
        tags::CURRENT_REQUESTED_PROCEDURE_EVIDENCE_SEQUENCE,
        evidence(scans),
    );
    let template = InMemDicomObject::from_element_iter([
        DataElement::new(tags::MAPPING_RESOURCE, VR::CS, "DCMR"),
        DataElement::new(tags::TEMPLATE_IDENTIFIER, VR::CS, "1500"),
    ]);
    object.put_items(tags::CONTENT_TEMPLATE_SEQUENCE, vec![template]);
    let scheme = InMemDicomObject::from_element_iter([
        DataElement::new(tags::CODING_SCHEME_DESIGNATOR, VR::SH, SCHEME),
        DataElement::new(tags::CODING_SCHEME_NAME, VR::ST, "Concepts of myelin"),
        DataElement::new(
            tags::CODING_SCHEME_RESPONSIBLE_ORGANIZATION,
            VR::ST,
            "myelin",
        ),
    ]);
    object.put_items(tags::CODING_SCHEME_IDENTIFICATION_SEQUENCE, vec![scheme]);
    let title = dcm("126000", "Imaging Measurement Report").item(&object);
    object.put_items(tags::CONCEPT_NAME_CODE_SEQUENCE, vec![title]);
    let content = Content(&object);
    let images: Vec<&SourceImage> = scans.iter().flat_map(|scan| asked(patient, scan)).collect();
    let tracking = derived(Kind::Tracking, &predictions.model, sources());
    let mut items = context(&content, predictions);
    items.push(library(&content, &images));
    let group = group(&content, predictions, patient, &images, &tracking);
    let measurements = dcm("126010", "Imaging Measurements");
    items.push(content.container(&measurements, vec![group]));
    object.put_items(tags::CONTENT_SEQUENCE, items);
    object
}

fn dcm(value: &str, meaning: &str) -> Code {
    Code::new(value, "DCM", meaning)
}

/// The images that slices were cut from; all of a scan whose images are not its axial planes.
fn asked<'a>(patient: &PatientPrediction, scan: &'a Scan) -> Vec<&'a SourceImage> {
    let grid = patient.scans[scan.place].grid.as_ref();
    let Some(owners) = grid.and_then(|grid| grid.images.as_ref()) else {
        return scan.source.images.iter().collect();
    };
    let slices = patient
        .slices
        .iter()
        .filter(|slice| slice.scan == scan.place);
    let files = slices.filter_map(|slice| Some(owners.get(slice.index as usize)?.0));
    let files: std::collections::BTreeSet<usize> = files.collect();
    files
        .into_iter()
        .filter_map(|file| scan.source.images.get(file))
        .collect()
}

/// Every image of the scans, by study and series (PS3.3, C.17.2.1).
fn evidence(scans: &[Scan]) -> Vec<InMemDicomObject> {
    let mut studies: Vec<(&str, Vec<InMemDicomObject>)> = vec![];
    for scan in scans {
        let images = scan
            .source
            .images
            .iter()
            .map(|image| reference(image, None));
        let mut series = InMemDicomObject::new_empty();
        series.put(sequence(tags::REFERENCED_SOP_SEQUENCE, images.collect()));
        let uid = DataElement::new(
            tags::SERIES_INSTANCE_UID,
            VR::UI,
            scan.source.series.as_str(),
        );
        series.put(uid);
        match studies
            .iter_mut()
            .find(|(study, _)| *study == scan.source.study)
        {
            Some((_, of_study)) => of_study.push(series),
            None => studies.push((&scan.source.study, vec![series])),
        }
    }
    let study = |(uid, series): (&str, Vec<InMemDicomObject>)| {
        let mut study = InMemDicomObject::new_empty();
        study.put(sequence(tags::REFERENCED_SERIES_SEQUENCE, series));
        study.put(DataElement::new(tags::STUDY_INSTANCE_UID, VR::UI, uid));
        study
    };
    studies.into_iter().map(study).collect()
}

/// Language (TID 1204), observer (TID 1001, 1004), procedure.
fn context(content: &Content<'_>, predictions: &Predictions) -> Vec<InMemDicomObject> {
    use Relation::{HasConceptModifier, HasObservationContext};
    let device = derived(
        Kind::Device,
        &predictions.model,
        [predictions.made_by.as_str()],
    );
    let observer = dcm("121007", "Device");
    let text = |code, meaning, text| content.text(HasObservationContext, &dcm(code, meaning), text);
    vec![
        content.code(
            HasConceptModifier,
            &dcm("121049", "Language of Content Item and Descendants"),
            &Code::new("en", "RFC5646", "English"),
        ),
        content.code(
            HasObservationContext,
            &dcm("121005", "Observer Type"),
            &observer,
        ),
        content.uid(
            HasObservationContext,
            &dcm("121012", "Device Observer UID"),
            &device,
        ),
        text("121013", "Device Observer Name", "myelin"),
        text("121014", "Device Observer Manufacturer", "myelin"),
        text("121015", "Device Observer Model Name", &predictions.made_by),
        content.code(
            HasConceptModifier,
            &dcm("121058", "Procedure reported"),
            // The one of CID 100 that fits; what was looked at is the finding site.
            &Code::new("25056-3", "LN", "MRI unspecified body region"),
        ),
    ]
}

/// TID 1600.
fn library(content: &Content<'_>, images: &[&SourceImage]) -> InMemDicomObject {
    let modality = content.code(
        Relation::HasAcquisitionContext,
        &dcm("121139", "Modality"),
        &dcm("MR", "Magnetic Resonance"),
    );
    let source = Code::new("260753009", "SCT", "Source");
    let mut entries = vec![modality];
    entries.extend(
        images
            .iter()
            .map(|image| content.image(&source, image, vec![])),
    );
    let group = content.container(&dcm("126200", "Image Library Group"), entries);
    content.container(&dcm("111028", "Image Library"), vec![group])
}

/// TID 1501.
fn group(
    content: &Content<'_>,
    predictions: &Predictions,
    patient: &PatientPrediction,
    images: &[&SourceImage],
    tracking: &str,
) -> InMemDicomObject {
    use Relation::{Contains, HasConceptModifier, HasObservationContext};
    let brain = Code::new("12738006", "SCT", "Brain");
    let identifier = dcm("112039", "Tracking Identifier");
    let site = Code::new("363698007", "SCT", "Finding Site");
    let mut items = vec![
        content.text(HasObservationContext, &identifier, "Predicted disability"),
        content.uid(
            HasObservationContext,
            &dcm("112040", "Tracking Unique Identifier"),
            tracking,
        ),
        content.code(HasConceptModifier, &site, &brain),
    ];
    items.extend(algorithm(content, predictions));
    let mean = Code::new("373098007", "SCT", "Mean");
    for (class, (name, share)) in
        (predictions.classes.iter().zip(&patient.probabilities)).enumerate()
    {
        let derivation = dcm("121401", "Derivation");
        let derivation = content.code(HasConceptModifier, &derivation, &mean);
        let name = Code::new(
            &format!("P{class}"),
            SCHEME,
            &format!("Probability of class {name}"),
        );
        items.push(content.share(&name, *share, vec![derivation]));
    }
    for (value, meaning, share) in [
        (
            "P-LOW",
            "2.5% percentile of its probability over slices",
            patient.low,
        ),
        (
            "P-HIGH",
            "97.5% percentile of its probability over slices",
            patient.high,
        ),
    ] {
        items.push(content.share(&Code::new(value, SCHEME, meaning), share, vec![]));
    }
    let class = patient.class;
    items.push(content.code(
        Contains,
        &Code::new("CLASS", SCHEME, "Predicted class of disability (EDSS)"),
        &Code::new(
            &format!("CLASS{class}"),
            SCHEME,
            &predictions.classes[class],
        ),
    ));
    let comments = std::iter::once(NOTICE_IN_FULL).chain(patient.flags.iter().map(String::as_str));
    items.extend(comments.map(|text| content.text(Contains, &dcm("121106", "Comment"), text)));
    let source = dcm("121112", "Source of Measurement");
    items.extend(
        images
            .iter()
            .map(|image| content.image(&source, image, vec![])),
    );
    content.container(&dcm("125007", "Measurement Group"), items)
}

/// TID 4019.
fn algorithm(content: &Content<'_>, predictions: &Predictions) -> Vec<InMemDicomObject> {
    let model = &predictions.model;
    let (name, version) =
        (predictions.made_by.split_once(' ')).unwrap_or((&predictions.made_by, "unknown"));
    let mut parameters = vec![
        format!("model SHA-256: {}", model.model_hash),
        format!("learning round: {}", model.learning_round),
        format!("conditioning: {}", model.conditioning),
        format!(
            "model in the transcript of its run: {}",
            if model.in_transcript { "yes" } else { "no" }
        ),
    ];
    parameters.extend(model.run.iter().map(|run| format!("run: {run}")));
    let item = |code, meaning, text: &str| {
        content.text(Relation::HasConceptModifier, &dcm(code, meaning), text)
    };
    let mut items = vec![
        item("111001", "Algorithm Name", name),
        item("111003", "Algorithm Version", version),
    ];
    items.extend(
        parameters
            .iter()
            .map(|text| item("111002", "Algorithm Parameters", text)),
    );
    items
}
