//! `--list`: the trainings of a run, and which of them are done. Nothing is made, nobody is kept out.

use anyhow::Context;
use host::{output::say, shown::Format};
use serde::Serialize;

use super::{
    cell::CellKey, configuration::Configuration, dealing::share, folder::Folder,
    options::ReproduceOptions, training_jobs::is_done,
};

/// For programs: the object of `--format json`.
#[derive(Serialize)]
struct Listed {
    schema: u32,
    trainings: Vec<Training>,
}

#[derive(Serialize)]
struct Training {
    /// From 1; a shard is a function of it.
    number: usize,
    /// As its file is called.
    name: String,
    done: bool,
    #[serde(flatten)]
    key: CellKey,
}

/// Prints the trainings of the run in the folder, or of the one that these options would begin.
///
/// # Errors
/// Options that do not fit together or the run in the folder.
pub fn list(options: &ReproduceOptions) -> anyhow::Result<()> {
    let folder = Folder::look(&options.out_folder())?;
    let configuration = Configuration::new(&options.on_no_device(), folder.recorded())?;
    if let Some(recorded) = folder.recorded() {
        configuration.check_same(recorded)?;
    }
    let trainings = share(&configuration.cells(), options.shard)
        .into_iter()
        .map(|(number, key)| Training {
            number,
            name: key.stem(),
            // A damaged one is to be trained again.
            done: is_done(&folder, &configuration, &key, |_| ()),
            key,
        })
        .collect();
    let listed = Listed {
        schema: 1,
        trainings,
    };
    match options.format {
        Format::Json => say(serde_json::to_string(&listed).context("a list is JSON")?),
        Format::Text => {
            for Training {
                number, name, done, ..
            } in &listed.trainings
            {
                let state = if *done { "done" } else { "to do" };
                say(format_args!("{number:>4}  {state:<5}  {name}"));
            }
            let done = listed.trainings.iter().filter(|training| training.done);
            say(format_args!(
                "{} trainings, {} of them done",
                listed.trainings.len(),
                done.count()
            ));
        }
    }
    Ok(())
}
