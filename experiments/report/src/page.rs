//! Pages with everything inside them.

use crate::pictures::{Picture, PictureError};

/// A page. Both parts are HTML already: what others wrote has gone through [`escape`](crate::pictures::escape).
pub fn page(title: &str, body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>{title}</title><style>{STYLE}</style></head><body><main>\n{body}\n</main></body></html>\n"
    )
}

/// Pictures in rows, as many to a row as fit.
///
/// # Errors
/// An image that cannot be encoded.
pub fn side_by_side(pictures: &[Picture]) -> Result<String, PictureError> {
    let inline: Result<String, _> = pictures.iter().map(Picture::inline).collect();
    Ok(format!("<div class=\"side-by-side\">{}</div>", inline?))
}

const STYLE: &str = "\
body{font:16px/1.5 system-ui,sans-serif;color:#111;background:#fff;margin:0}\
main{max-width:62rem;margin:0 auto;padding:1rem 1.5rem}\
h1{font-size:1.6rem}h2{font-size:1.2rem;margin-top:2rem;border-bottom:1px solid #888}\
table{border-collapse:collapse;margin:.6rem 1.5rem .6rem 0}th,td{border:1px solid #888;padding:.2rem .6rem;text-align:right}\
th:first-child{text-align:left}caption{text-align:left;font-weight:600;padding:.2rem 0}\
.side-by-side{display:flex;flex-wrap:wrap;gap:1rem;align-items:flex-start}svg{max-width:100%;height:auto}\
.warning{border-left:5px solid #111;padding-left:.7rem}.note{font-size:.85rem}code{word-break:break-all}\
@media print{main{max-width:none}}";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        links::leads_outside,
        pictures::{SliceView, confusion, slices},
    };

    #[test]
    fn a_page_carries_all_that_it_shows() {
        let matrix = confusion("m", "A & B", &["x", "y"], &[vec![1, 2], vec![3, 4]]);
        let view = SliceView {
            pixels: &[0.5; 64],
            side: 8,
            attention: &[0.25; 64],
            caption: vec!["hospital 1".to_owned()],
        };
        let scan = slices("s", "Some slices", &[view]);
        let pictures = [matrix.expect("drawn"), scan.expect("drawn")];
        let page = page("Title", &side_by_side(&pictures).expect("encoded"));
        assert!(page.contains("<title>Title</title>") && page.matches("<svg").count() == 2);
        assert!(page.contains("href=\"data:image/png;base64,"));
        assert_eq!(leads_outside(&page), [""; 0]);
    }
}
