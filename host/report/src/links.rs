//! Where a page could ask a network for something. Only there are links looked for: the base64 of a picture spells any word.

/// What the page loads or links to, in `src`, `href`, `url(..)` and `@import`, other than what it carries itself (`data:`) and
/// its own parts (`#..`).
pub fn leads_outside(page: &str) -> Vec<&str> {
    let attributes = ["src=", "href=", "srcset=", "action=", "data="]
        .into_iter()
        .flat_map(|name| after(page, name))
        .map(|rest| match rest.chars().next() {
            Some(quote @ ('"' | '\'')) => rest[1..].split(quote).next().unwrap_or(""),
            _ => rest.split([' ', '>']).next().unwrap_or(""),
        });
    let styles = ["url(", "@import"]
        .into_iter()
        .flat_map(|name| after(page, name))
        .map(|rest| {
            let rest = rest.trim_start_matches([' ', '"', '\'']);
            rest.split(['"', '\'', ')', ';']).next().unwrap_or("")
        });
    attributes
        .chain(styles)
        .filter(|target| !target.starts_with("data:") && !target.starts_with('#'))
        .collect()
}

/// What stands behind each place where `name` begins a word.
fn after<'a>(page: &'a str, name: &'static str) -> impl Iterator<Item = &'a str> {
    page.match_indices(name)
        .filter(|(at, _)| {
            let before = page[..*at].chars().next_back();
            before.is_none_or(|sign| !sign.is_ascii_alphanumeric())
        })
        .map(move |(at, _)| &page[at + name.len()..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_found_where_links_are_and_nowhere_else() {
        let carried = "<img src=\"data:image/png;base64,MMV9HiBPhttp600q\"/> <a href='#curves'>http://x</a> \
                   <rect fill=\"url(#shade)\"/><svg xmlns=\"http://www.w3.org/2000/svg\"/>";
        assert!(leads_outside(carried).is_empty());
        let outside = "<img src=\"http://a/b.png\"/><link href='//c/d.css'/><script src=e.js></script>\
                   <style>@import \"f.css\"; p { background: url( 'g.png' ) }</style><image xlink:href=\"h\"/>";
        assert_eq!(
            leads_outside(outside),
            ["http://a/b.png", "e.js", "//c/d.css", "h", "g.png", "f.css"]
        );
    }
}
