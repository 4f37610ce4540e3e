//! What a program on a party's machine needs before it can do its work: settings, key files, output, signals, exit codes.
//!
//! The coordinator and the participant both use it, so that an operator who knows one knows the other. It knows how keys are
//! read, not whose they are; which settings there are is each program's own.
//!
//! | module | what |
//! |---|---|
//! | [`settings`] | defaults, file, environment and flags in layers, each naming only keys that exist |
//! | [`participant_file`] | the teaching `participant.toml`: written for a demo, read as the list of keys and defaults |
//! | [`key_files`] | rosters, keys and certificates from the files that settings name |
//! | [`private_folder`] | folders and files that their owner alone can look into |
//! | [`replaced_file`] | a file that is replaced as a whole |
//! | [`output`] | the log on stderr, data on stdout; a line that cannot be written is lost, and nothing else |
//! | [`spans`] | which run, round and hospital a line of the log is about |
//! | [`run_file`] | a run that its operator has signed |
//! | [`signals`] | Ctrl-C, SIGTERM, SIGHUP |
//! | [`transcript`] | the command that checks the record of a run |
//! | [`roster_in_words`] | a roster as people read it before they sign it |
//! | [`shown`] | how a command shows what it has found: to people or programs, once or again and again |
//! | [`manual`] | completions for shells, and manual pages |
//! | [`moment`] | moments as files tell them |
//! | [`recent_log`] | the last lines of the log, for a page that shows them |
//! | [`web`] | a web page on loopback, `/healthz`, `/metrics` |
//! | [`certificate_end`] | a certificate that ends soon, for `doctor` and the log |
//! | [`doctor`] | whether all is there that a program needs: what was found, and what to do |
//! | [`failure`] | why a program ends, and its exit code |
//!
//! ```
//! use host::settings::Template;
//!
//! #[derive(serde::Deserialize)]
//! struct Raw {
//!     rounds: i64,
//! }
//!
//! let template = Template { text: "rounds = 8  # learning rounds", required: &[], paths: &[] };
//! let folder = tempfile::tempdir()?;
//! let file = folder.path().join("run.toml");
//! std::fs::write(&file, "")?;
//! let environment = [("MYELIN__ROUNDS".to_owned(), "3".to_owned())];
//! let raw: Raw = template.load(&file, environment, &[])?;
//! assert_eq!(raw.rounds, 3);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

pub mod certificate_end;
pub mod doctor;
pub mod failure;
pub mod key_files;
pub mod manual;
pub mod moment;
#[cfg(feature = "opentelemetry")]
mod opentelemetry;
pub mod output;
pub mod participant_file;
pub mod private_folder;
pub mod recent_log;
pub mod replaced_file;
pub mod roster_in_words;
pub mod run_file;
pub mod settings;
pub mod shown;
pub mod signals;
pub mod spans;
mod text_lines;
pub mod transcript;
pub mod web;
