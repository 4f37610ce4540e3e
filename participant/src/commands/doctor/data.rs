//! The data folder: there, laid out in a way that is known, with a table. No image is read.

use std::{path::Path, sync::mpsc, thread, time::Duration};

use host::doctor::{Check, told};
use model_data::{DataError, Inventory, Layout, LoadOptions, split};
use participant::{erasure::Erased, settings::Settings};
use protocol::counted::counted;

/// What was found in it.
pub struct Seen {
    /// In words.
    pub check: Check,
    /// How many scans there are, if they could be counted.
    pub scans: Option<usize>,
}

/// Looks for as long as it is worth: a slow drive with many files is left to `participant data check`.
pub fn look(settings: &Settings) -> Seen {
    let (tell, told_layout) = mpsc::channel();
    let (folder, options) = (settings.data.clone(), settings.load_options());
    let (tell_all, told_all) = mpsc::channel();
    thread::spawn(move || {
        let layout = Layout::recognise(&folder);
        let recognised = layout.as_ref().ok().copied();
        let _ = tell.send(recognised);
        let _ = tell_all.send(inventory(layout, &folder, &options));
    });
    let folder = settings.data.display();
    match told_all.recv_timeout(PATIENCE) {
        Ok(Ok((layout, mut inventory))) => of_inventory(settings, layout, &mut inventory),
        Ok(Err(error)) => Seen {
            check: Check::failed(
                DATA,
                told(error),
                format!(
                    "mend it, or set `data`; all that is wrong is shown by: participant data check {folder}"
                ),
            ),
            scans: None,
        },
        Err(_) => {
            let layout = told_layout.try_recv().ok().flatten();
            let layout = layout.map_or_else(String::new, |layout| format!(" as {layout}"));
            let seconds = PATIENCE.as_secs();
            Seen {
                check: Check::warning(
                    DATA,
                    format!("{folder} could not be looked through{layout} within {seconds} s"),
                    format!("look at all of it: participant data check {folder}"),
                ),
                scans: None,
            }
        }
    }
}

fn inventory(
    layout: Result<Layout, DataError>,
    folder: &Path,
    options: &LoadOptions,
) -> Result<(Layout, Inventory), DataError> {
    let layout = layout?;
    Ok((layout, layout.inventory(folder, options)?))
}

fn of_inventory(settings: &Settings, layout: Layout, inventory: &mut Inventory) -> Seen {
    match Erased::read(&settings.state) {
        Ok(erased) => inventory.entries.retain(|entry| !erased.has(&entry.id)),
        Err(error) => {
            let remedy = "no run begins like this".to_owned();
            return Seen {
                check: Check::failed(DATA, error.to_string(), remedy),
                scans: None,
            };
        }
    }
    let folder = settings.data.display();
    let patients = inventory.entries.len();
    let scans = inventory.entries.iter().map(|entry| entry.scans.len());
    let scans: usize = scans.sum();
    let found = format!(
        "{folder} is {layout}; {} with {}",
        counted(patients, ["patient", "patients"]),
        counted(scans, ["scan", "scans"])
    );
    let all = format!("participant data check {folder}");
    let units: Vec<_> = (0..patients).map(|_| (0, SOME_SLICES)).collect();
    let check = match split(&units, settings.training.split, settings.training.seed) {
        Err(error) => Check::failed(DATA, format!("{found}: {error}"), all),
        Ok(_) if !inventory.report.is_clean() => {
            let remedy = format!("{all} names it{}", strictly(settings));
            Check::warning(DATA, format!("{found}; something is left out"), remedy)
        }
        Ok(_) if !inventory.report.doubts.is_empty() => {
            let remedy = format!("{all} names it");
            let found = format!("{found}; something was guessed or is not understood");
            Check::warning(DATA, found, remedy)
        }
        Ok(_) => Check::good(DATA, found),
    };
    Seen {
        check,
        scans: Some(scans),
    }
}

fn strictly(settings: &Settings) -> &'static str {
    match settings.strict_data {
        true => "; with strict_data = true no run begins like this",
        false => "",
    }
}

const DATA: &str = "data";
const PATIENCE: Duration = Duration::from_secs(20);
/// Enough for a split by slice.
const SOME_SLICES: usize = 10;
