//! Pages with everything inside them.

use std::fmt::Write as _;

use crate::pictures::{Picture, PictureError};

/// A page. Both parts are HTML already: what others wrote has gone through [`escape`](crate::pictures::escape). Its `<h2>` become
/// the contents, with links.
pub fn page(title: &str, body: &str) -> String {
    let (contents, body) = with_contents(body);
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>{title}</title><style>{STYLE}</style></head><body><main>\n{contents}{body}\n</main><script>{SCRIPT}</script></body></html>\n"
    )
}

/// The list of the sections, and the body in which each has a name to link to. No list of fewer than three.
fn with_contents(body: &str) -> (String, String) {
    let mut parts = body.split("<h2>");
    let mut named = parts.next().unwrap_or_default().to_owned();
    let mut list = String::new();
    let mut count = 0;
    for part in parts {
        count += 1;
        let heading = part.split("</h2>").next().unwrap_or_default();
        let _ = write!(list, "<li><a href=\"#part-{count}\">{heading}</a></li>");
        let _ = write!(named, "<h2 id=\"part-{count}\">{part}");
    }
    let contents = if count < 3 {
        String::new()
    } else {
        format!("<nav aria-label=\"Contents\"><ul>{list}</ul></nav>")
    };
    (contents, named)
}

/// Rows of a table that tells how a page was made: the program's `version`, its licence, and how to cite it.
pub fn program_rows(version: &str) -> String {
    format!(
        "<tr><th>version</th><td>myelin {version}</td></tr><tr><th>licence of the program</th><td>MIT or Apache-2.0</td></tr>\
         <tr><th>to be cited as</th><td>myelin {version}, federated learning with sealed updates; the method is that of Cirillo et al., \
         ITADATA 2025</td></tr>"
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

/// Black on white in print; dark where the reader asks for it. Pictures keep their white ground, on which their colours were chosen.
const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#111;--paper:#fff;--line:#888;--mark:#111}\
@media (prefers-color-scheme:dark){:root{--ink:#e6e6e6;--paper:#16181c;--line:#777;--mark:#f0b429}a{color:#8ab4f8}}\
body{font:16px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);margin:0}\
main{max-width:62rem;margin:0 auto;padding:1rem 1.5rem;overflow-wrap:break-word}\
h1{font-size:1.6rem}h2{font-size:1.2rem;margin-top:2rem;border-bottom:1px solid var(--line)}\
nav ul{display:flex;flex-wrap:wrap;gap:.2rem 1rem;list-style:none;padding:0;font-size:.9rem}\
table{border-collapse:collapse;margin:.6rem 1.5rem .6rem 0;display:block;overflow-x:auto;max-width:100%}\
th,td{border:1px solid var(--line);padding:.2rem .6rem;text-align:right}\
th:first-child{text-align:left}caption{text-align:left;font-weight:600;padding:.2rem 0}\
th button{font:inherit;color:inherit;background:none;border:0;padding:0;cursor:pointer}\
.side-by-side{display:flex;flex-wrap:wrap;gap:1rem;align-items:flex-start;margin:.6rem 0}svg{max-width:100%;height:auto;background:#fff}\
.warning{border-left:5px solid var(--mark);padding-left:.7rem}.note{font-size:.85rem}code{word-break:break-all}\
.words td,.words th,td.words{text-align:left}td.words{min-width:12rem}details{margin:.3rem 0}summary{cursor:pointer}\
.bar{display:inline-block;width:5rem;height:.65rem;margin-right:.5rem;border:1px solid var(--line)}.bar i{display:block;height:100%;background:var(--line)}\
.montage{display:grid;grid-template-columns:repeat(auto-fill,minmax(7rem,1fr));gap:1.2rem .7rem;margin:.8rem 0}\
.montage figure{margin:0;break-inside:avoid;font-size:.8rem}.montage figcaption{font-weight:600}.montage span{display:block;margin-bottom:.3rem}\
.montage img,.empty{display:block;width:100%;aspect-ratio:1;border-radius:3px;background:#000}\
.empty{display:flex;align-items:center;justify-content:center;text-align:center;box-sizing:border-box;padding:.4rem;border:1px dashed var(--line);background:none}\
@media (max-width:30rem){main{padding:.6rem .8rem}table{margin-right:0;font-size:.85rem}th,td{padding:.15rem .35rem}td{white-space:nowrap}.words td,td.words{white-space:normal}}\
@media print{:root{--ink:#000;--paper:#fff;--line:#666;--mark:#000}main{max-width:none}nav{display:none}.bar i{border-top:.65rem solid #666}\
.montage img{print-color-adjust:exact}\
table,svg,.side-by-side{break-inside:avoid}}";

/// A click on a column's head sorts a table whose first row is nothing but heads: by number where there are numbers, and the other way
/// round at the second click.
const SCRIPT: &str = "\
for(const table of document.querySelectorAll('table')){\
const head=table.rows[0];if(!head||table.rows.length<4||[...head.cells].some(c=>c.tagName!=='TH'))continue;\
[...head.cells].forEach((cell,at)=>{const button=document.createElement('button');button.textContent=cell.textContent;\
button.title='sort';cell.replaceChildren(button);let up=false;button.onclick=()=>{up=!up;\
const value=row=>{const text=row.cells[at]?.textContent.trim()??'';const number=parseFloat(text);return isNaN(number)?text:number};\
const rows=[...table.rows].slice(1);rows.sort((a,b)=>{const[x,y]=[value(a),value(b)];\
const order=typeof x==='number'&&typeof y==='number'?x-y:String(x).localeCompare(String(y));return up?order:-order});\
rows.forEach(row=>row.parentNode.append(row))}})}";

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

    #[test]
    fn the_sections_of_a_page_are_its_contents() {
        let body = "<h1>Title</h1><h2>One &amp; two</h2><p>..</p><h2>Three</h2><h2>Four</h2>";
        let long = page("Title", body);
        assert!(
            long.contains("<a href=\"#part-1\">One &amp; two</a>"),
            "{long}"
        );
        assert!(long.contains("<h2 id=\"part-3\">Four</h2>"), "{long}");
        assert!(!page("Title", "<h2>One</h2><h2>Two</h2>").contains("<nav"));
    }
}
