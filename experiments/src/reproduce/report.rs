//! `report.html`: the tables and pictures as one page that asks nothing of any network.

use ::report::{page::page, pictures::PictureError};

use super::{command_line::command_line, configuration::Configuration, document::Document};
use crate::made::Made;

/// The page. Unlike the tables it tells when it was made.
///
/// # Errors
/// An image that cannot be encoded.
pub fn html(document: &Document, configuration: &Configuration) -> Result<String, PictureError> {
    let made = Made::now(command_line(configuration));
    let body = document.html()?
        + &made.section()
        + "<footer><p>The same as Markdown is in tables.md, all numbers in tables.json, each training in the folder cells, the pictures in \
           the folder pictures.</p></footer>";
    Ok(page(&document.title, &body))
}
