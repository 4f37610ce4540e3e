//! `report.html`: the tables and pictures as one page that asks nothing of any network.

use super::document::Document;
use ::report::{page::page, pictures::PictureError};

/// The page.
///
/// # Errors
/// An image that cannot be encoded.
pub fn html(document: &Document) -> Result<String, PictureError> {
    Ok(page(&document.title, &document.html()?))
}
