//! The command that asks for a reproduction again.

use std::fmt;

use super::configuration::Configuration;
use crate::{made::last_name, shell_words::in_command};

/// Of a data folder it has the last name alone.
pub fn command_line(configuration: &Configuration) -> String {
    fn list<T: fmt::Display>(values: &[T]) -> String {
        let words: Vec<String> = values.iter().map(T::to_string).collect();
        words.join(",")
    }
    let contrasts: Vec<&str> = configuration
        .contrasts
        .iter()
        .map(|contrast| contrast.name())
        .collect();
    let task = match configuration.task.as_slice() {
        [one] => one.to_string(),
        _ => "both".to_owned(),
    };
    let mut words = vec![
        ("data", last_name(&configuration.data)),
        ("contrasts", contrasts.join(",")),
    ];
    let of_phantom = [
        ("patients", configuration.patients),
        ("slices", configuration.slices),
    ];
    words.extend(
        configuration
            .phantom
            .map(|kind| ("phantom", kind.to_string())),
    );
    words.extend(
        of_phantom
            .iter()
            .filter_map(|(name, size)| Some((*name, size.as_ref()?.to_string()))),
    );
    words.extend([
        ("task", task),
        ("balance", list(&configuration.balance)),
        ("model", list(&configuration.model)),
        ("conditioning-form", list(&configuration.conditioning_form)),
        ("split", list(&configuration.split)),
        ("profile", configuration.profile.to_string()),
        ("labels", configuration.labels.to_string()),
        ("seeds", configuration.seeds.to_string()),
        ("epochs", configuration.epochs.to_string()),
        ("early-stop", configuration.early_stop.to_string()),
        ("device", configuration.device.clone()),
    ]);
    let words = words
        .iter()
        .map(|(name, value)| format!(" --{name} {}", in_command(value)));
    format!("experiments reproduce{}", words.collect::<String>())
}
