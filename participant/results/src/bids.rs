//! A derived data set of BIDS: who was predicted what, and heat maps as images of the subjects.
//!
//! ```text
//! bids/dataset_description.json      DatasetType derivative, GeneratedBy this program and model
//! bids/README.md                     what it is, and what it is not for
//! bids/participants.tsv, .json       a row a patient; what the columns are
//! bids/sub-X/anat/sub-X_[run-N_]desc-gradcam_FLAIR.nii.gz, .json
//! ```

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use model_data::Contrast;
use serde_json::{Map, Value, json};

use crate::{
    NOTICE, NOTICE_IN_FULL, PatientPrediction, Predictions, ResultsError, heat_volume,
    json::lines,
    private_tree::PrivateTree,
    safe_name::{bids_labels, cell},
};

/// The folder of the data set among the results.
const FOLDER: &str = "bids";
/// The version of BIDS whose rules the names keep to.
const BIDS_VERSION: &str = "1.9.0";
/// Where BIDS has nothing to say in a cell.
const NOTHING: &str = "n/a";

/// Writes the data set.
pub(crate) fn write(tree: &mut PrivateTree, predictions: &Predictions) -> Result<(), ResultsError> {
    let root = Path::new(FOLDER);
    let description = description(predictions);
    tree.write(
        &root.join("dataset_description.json"),
        &lines(&description)?,
    )?;
    tree.write(&root.join("README.md"), readme(predictions).as_bytes())?;
    let ids: Vec<&str> = predictions
        .patients
        .iter()
        .map(|p| p.patient.as_str())
        .collect();
    let labels = bids_labels(&ids);
    let table = participants(predictions, &labels)?;
    tree.write(&root.join("participants.tsv"), &table)?;
    let columns = columns(predictions);
    tree.write(&root.join("participants.json"), &lines(&columns)?)?;
    for (patient, label) in predictions.patients.iter().zip(&labels) {
        write_heat(tree, patient, label)?;
    }
    Ok(())
}

fn write_heat(
    tree: &mut PrivateTree,
    patient: &PatientPrediction,
    label: &str,
) -> Result<(), ResultsError> {
    let mut runs: BTreeMap<Contrast, u32> = BTreeMap::new();
    for (scan, origin) in patient.scans.iter().enumerate() {
        let run = runs.entry(origin.contrast).or_default();
        *run += 1;
        let Some(grid) = heat_volume::grid_of(patient, scan) else {
            continue;
        };
        let run = if *run > 1 {
            format!("run-{run}_")
        } else {
            String::new()
        };
        let suffix = suffix(origin.contrast);
        let name = format!("{FOLDER}/sub-{label}/anat/sub-{label}_{run}desc-gradcam_{suffix}");
        let path = PathBuf::from(format!("{name}.nii.gz"));
        tree.write_with(&path, |path| heat_volume::write(path, patient, scan, grid))?;
        let sidecar = json!({
            "Description": format!(
                "Grad-CAM of the predicted class, from 0 to 1, on the grid of the model's slices; planes that the model was not \
                 asked about are 0. {NOTICE_IN_FULL}"
            ),
            // Nothing was set to zero for lying outside of the brain.
            "SkullStripped": false,
        });
        tree.write(Path::new(&format!("{name}.json")), &lines(&sidecar)?)?;
    }
    Ok(())
}

fn suffix(contrast: Contrast) -> &'static str {
    match contrast {
        Contrast::Flair => "FLAIR",
        Contrast::T1 => "T1w",
        Contrast::T2 => "T2w",
    }
}

fn description(predictions: &Predictions) -> Value {
    let (name, version) =
        (predictions.made_by.split_once(' ')).unwrap_or((&predictions.made_by, ""));
    json!({
        "Name": format!("Predicted classes of disability. {NOTICE}."),
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "derivative",
        "GeneratedBy": [{
            "Name": name,
            "Version": version,
            "Description": format!(
                "Model {} after round {}, conditioning: {}",
                predictions.model.model_hash,
                predictions.model.learning_round,
                predictions.model.conditioning,
            ),
        }],
    })
}

fn readme(predictions: &Predictions) -> String {
    format!(
        "# Predicted classes of disability\n\n{NOTICE_IN_FULL}\n\nMade by {} on {} with the model {}. `participants.tsv` has the \
         predictions; `participants.json` says what its columns are. The images of a subject show where a model looked (Grad-CAM of \
         the predicted class); they are no measurement of tissue.\n",
        predictions.made_by, predictions.date, predictions.model.model_hash,
    )
}

/// Tab-separated. `participant_id` is the label of the folder, `patient` the hospital's own ID.
fn participants(predictions: &Predictions, labels: &[String]) -> Result<Vec<u8>, ResultsError> {
    let mut writer = csv::WriterBuilder::new()
        .delimiter(b'\t')
        // BIDS knows no quotes: cells have neither tabs nor line breaks.
        .quote_style(csv::QuoteStyle::Never)
        .from_writer(vec![]);
    let mut write = || {
        let mut header = vec![
            "participant_id".to_owned(),
            "patient".into(),
            "predicted_class".into(),
        ];
        header.extend(predictions.classes.iter().map(|class| column_of(class)));
        header.extend(["p_low", "p_high", "flags", "notice"].map(str::to_owned));
        writer.write_record(&header)?;
        for (patient, label) in predictions.patients.iter().zip(labels) {
            let mut row = vec![
                format!("sub-{label}"),
                plain(&patient.patient),
                plain(&predictions.classes[patient.class]),
            ];
            row.extend(patient.probabilities.iter().map(f32::to_string));
            row.extend([patient.low.to_string(), patient.high.to_string()]);
            row.extend([plain(&patient.flags.join("; ")), NOTICE.to_owned()]);
            writer.write_record(&row)?;
        }
        writer.flush().map_err(csv::Error::from)
    };
    write().map_err(|error| ResultsError::encode("participants.tsv")(error.into()))?;
    writer
        .into_inner()
        .map_err(|error| ResultsError::encode("participants.tsv")(error.to_string().into()))
}

fn column_of(class: &str) -> String {
    format!("p_{}", plain(class))
}

/// A cell without tabs and line breaks, and no formula.
fn plain(text: &str) -> String {
    let one_line: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    match one_line.trim() {
        "" => NOTHING.to_owned(),
        trimmed => cell(trimmed).into_owned(),
    }
}

fn columns(predictions: &Predictions) -> Value {
    let says = |text: &str| json!({ "Description": text });
    let count = predictions.classes.len();
    let level = |(index, class): (usize, &String)| {
        let meaning = format!(
            "class {} of {count}, in the order of rising disability",
            index + 1
        );
        (plain(class), Value::String(meaning))
    };
    let levels: Map<String, Value> = predictions.classes.iter().enumerate().map(level).collect();
    let mut columns = Map::new();
    columns.insert(
        "patient".into(),
        says("The hospital's own ID of the patient"),
    );
    columns.insert(
        "predicted_class".into(),
        json!({ "Description": "The most probable class of disability (EDSS)", "Levels": levels }),
    );
    for class in &predictions.classes {
        let text = format!("Probability of the class {class}: the mean over the slices");
        columns.insert(column_of(class), says(&text));
    }
    let ends = [("p_low", "2.5%"), ("p_high", "97.5%")];
    for (name, percentile) in ends {
        let text =
            format!("{percentile} percentile over the slices of the predicted class's probability");
        columns.insert(name.into(), says(&text));
    }
    columns.insert(
        "flags".into(),
        says("What to know before the prediction is relied on"),
    );
    columns.insert("notice".into(), says(NOTICE_IN_FULL));
    Value::Object(columns)
}
