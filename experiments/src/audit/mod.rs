//! Every claim of `docs/THREATS.md` attacked with this project's own code.
//!
//! ```text
//! options -> attacks, one after another: control, then the claim -> findings -> audit.md, audit.json, report.html, table
//! ```

mod adamw;
mod attacks;
mod document;
mod effort;
mod finding;
mod likeness;
mod options;
mod page;
mod site;

use std::{fs, io::ErrorKind, path::Path, time::Instant};

use anyhow::{Context, anyhow, bail};
use host::{failure::Failure, output::say, shown::Format};
use model_data::whole_file::write_whole;

pub use self::options::AuditOptions;
use self::{attacks::ATTACKS, document::Audit};
use crate::{made::Made, simulation::Progress, stopping::Stopping};

/// Runs the attacks: the files into the folder, the table to stdout.
///
/// # Errors
/// [`Failure`]: a folder that cannot be used, an attack that cannot run, a control that does not win, a claim that breaks.
pub fn audit(options: &AuditOptions) -> Result<(), Failure> {
    let _ends_with_code_3 = Stopping::listen()
        .context("cannot listen for signals")
        .map_err(Failure::run)?;
    let folder = options.out_folder();
    prepare(&folder).map_err(Failure::settings)?;
    let progress = Progress::new();
    progress.line(format!("the audit goes to {}", folder.display()));
    let audit = run(options, &progress).map_err(Failure::run)?;
    write(&audit, &folder).map_err(Failure::run)?;
    match options.format {
        Format::Text => say(audit.table().trim_end()),
        Format::Json => say(serde_json::to_string(&audit).map_err(Failure::run)?),
    }
    match audit.faults() {
        faults if faults.is_empty() => Ok(()),
        faults => Err(Failure::Run(anyhow!(
            "the audit has failed: {}; audit.md in {} has the numbers",
            faults.join("; "),
            folder.display()
        ))),
    }
}

fn run(options: &AuditOptions, progress: &Progress) -> anyhow::Result<Audit> {
    let (effort, seed) = (options.effort(), options.seed);
    let wanted = ATTACKS.iter().filter(|attack| options.wants(attack.number));
    let mut findings = Vec::new();
    for attack in wanted {
        let began = Instant::now();
        progress.line(format!("attack {}: {}", attack.number, attack.name));
        let finding = (attack.run)(effort, seed, progress);
        let finding = finding
            .with_context(|| format!("attack {} ({}) cannot run", attack.number, attack.name))?;
        progress.line(format!(
            "attack {}: {} ({:.0} s)",
            attack.number,
            finding.outcome(),
            began.elapsed().as_secs_f64()
        ));
        findings.push(finding);
    }
    let made = Made::now(options.command_line());
    Ok(Audit::new(made, effort, seed, findings))
}

/// Before an hour of work: the folder is there, and has nothing in it but an earlier audit.
fn prepare(folder: &Path) -> anyhow::Result<()> {
    let shown = folder.display();
    match fs::read_dir(folder) {
        Ok(entries) => {
            for entry in entries {
                let name = entry.with_context(|| format!("--out {shown}"))?.file_name();
                if FILES.iter().all(|own| name != *own) {
                    bail!(
                        "--out {shown}: there is something else than an audit in this folder; choose another one"
                    );
                }
            }
            Ok(())
        }
        Err(error) if error.kind() == ErrorKind::NotFound => fs::create_dir_all(folder)
            .with_context(|| format!("--out {shown}: cannot make this folder")),
        Err(error) => bail!("--out {shown}: {error}; choose another folder"),
    }
}

fn write(audit: &Audit, folder: &Path) -> anyhow::Result<()> {
    let mut json = serde_json::to_vec_pretty(audit)?;
    json.push(b'\n');
    let (text, page) = (audit.markdown(), page::html(audit));
    for (name, contents) in FILES
        .iter()
        .zip([json, text.into_bytes(), page.into_bytes()])
    {
        write_whole(&folder.join(name), &contents)
            .with_context(|| format!("cannot write {name} into {}", folder.display()))?;
    }
    Ok(())
}

const FILES: [&str; 3] = ["audit.json", "audit.md", "report.html"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_with_something_else_in_it_is_refused_and_an_earlier_audit_replaced() {
        let folder = tempfile::tempdir().expect("a folder");
        let place = folder.path().join("a").join("audit");
        prepare(&place).expect("it is made");
        fs::write(place.join(FILES[0]), "{}").expect("written");
        prepare(&place).expect("an audit is replaced");
        fs::write(place.join("thesis.tex"), "").expect("written");
        let refused = prepare(&place).expect_err("something else is in it");
        assert!(refused.to_string().contains("something else"), "{refused}");
        assert!(prepare(&place.join("thesis.tex")).is_err());
    }
}
