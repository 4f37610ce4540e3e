//! `report.html`: the tables as one page that asks nothing of any network.

use super::{cell::Cell, document::Document};
use crate::report::STYLE;

/// The page. `cells` are there for pictures of them.
pub fn html(document: &Document, _cells: &[Cell]) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>{}</title><style>{STYLE}</style></head><body><main>\n{}\n</main></body></html>\n",
        document.title,
        document.html()
    )
}
