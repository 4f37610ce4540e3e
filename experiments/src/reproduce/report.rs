//! `report.html`: the tables and pictures as one page that asks nothing of any network.

use super::document::Document;
use crate::{pictures::PictureError, report::STYLE};

/// The page.
///
/// # Errors
/// An image that cannot be encoded.
pub fn html(document: &Document) -> Result<String, PictureError> {
    Ok(format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>{}</title><style>{STYLE}</style></head><body><main>\n{}\n</main></body></html>\n",
        document.title,
        document.html()?
    ))
}
