//! `report.html`: what an audit has found, as a page that asks nothing of any network.

use std::fmt::Write as _;

use ::report::{page::page, pictures::escape};

use super::{
    document::Audit,
    finding::{Finding, Measured, by_setting, number},
};

/// The page.
pub fn html(audit: &Audit) -> String {
    let mut sections = vec![headline(audit), overview(audit)];
    sections.extend(audit.findings.iter().map(section));
    sections.push(audit.made.section());
    page("Audit", &sections.join("\n"))
}

fn headline(audit: &Audit) -> String {
    let mut section = format!(
        "<h1>Audit: what each part gives away</h1><p>What attacks with this project's own code learn, once with the protection taken away \
         (control) and once with it in place. All patients are made up. Effort: {}, seed {}.</p>",
        audit.effort.words(),
        audit.seed
    );
    for fault in audit.faults() {
        let _ = write!(
            section,
            "<p class=\"warning\"><strong>Failed:</strong> {}.</p>",
            escape(&fault)
        );
    }
    section
}

fn overview(audit: &Audit) -> String {
    let mut section = "<h2>All attacks</h2><table class=\"words\"><tr><th>#</th><th>attack</th><th>the attacker holds</th><th>what follows</th></tr>".to_owned();
    for finding in &audit.findings {
        let _ = write!(
            section,
            "<tr><th>{}</th><td>{}</td><td>{}</td><td>{}</td></tr>",
            finding.number,
            escape(finding.attack),
            escape(finding.attacker_holds),
            escape(finding.outcome())
        );
    }
    section
        + "</table><p class=\"note\">\u{201c}Holds\u{201d} is said only where a proof stands behind the claim and the attack looks for \
           faults of the code. Elsewhere a number says what this attack reached with this effort; that no better one exists, it does not \
           say. docs/THREATS.md, section 11, has the limits.</p>"
}

fn section(finding: &Finding) -> String {
    let mut section = format!(
        "<h2>{}. {}</h2><p>The attacker holds {}. Claimed: {}. <strong>{}.</strong></p><p>{}</p>\
         <table class=\"words\"><tr><th>setting</th><th>metric</th><th>value</th><th>95% interval</th><th>by chance</th></tr>",
        finding.number,
        escape(finding.attack),
        escape(finding.attacker_holds),
        escape(finding.claimed),
        escape(finding.outcome()),
        escape(&finding.explanation),
    );
    for (part, measured) in finding.parts() {
        by_setting(measured).for_each(|of_setting| section += &rows(part, of_setting));
    }
    section += "</table>";
    if !finding.literature.is_empty() {
        let _ = write!(
            section,
            "<p class=\"note\">Literature: {}.</p>",
            escape(finding.literature)
        );
    }
    section
}

/// The setting stands before all of its rows.
fn rows(part: &str, of_setting: &[Measured]) -> String {
    let setting = format!(
        "<th rowspan=\"{}\">{part}: {}</th>",
        of_setting.len(),
        escape(&of_setting[0].setting)
    );
    let mut rows = String::new();
    for (index, one) in of_setting.iter().enumerate() {
        let setting = if index == 0 { &*setting } else { "" };
        // To a String nothing fails.
        let _ = write!(
            rows,
            "<tr>{setting}<td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            escape(one.metric),
            escape(&number(one.value)),
            escape(&one.interval_words()),
            one.chance_words(),
        );
    }
    rows
}

#[cfg(test)]
mod tests {
    use ::report::links::leads_outside;

    use super::{
        super::{document::tests::audit, finding::Verdict, finding::tests::finding},
        *,
    };

    #[test]
    fn the_page_says_what_failed_and_has_every_number() {
        let page = html(&audit(vec![
            finding(true, Verdict::LeaksAsStated),
            finding(false, Verdict::Holds),
        ]));
        assert_eq!(page.matches("Failed:").count(), 1);
        assert!(page.contains("its control did not win"), "{page}");
        let numbers = "<td>right</td><td>0.350</td><td>0.154 to 0.592</td><td>0.250</td>";
        assert_eq!(page.matches(numbers).count(), 2, "{page}");
        assert!(page.contains("experiments audit --quick --seed 1"));
        assert_eq!(leads_outside(&page), [""; 0]);
    }
}
