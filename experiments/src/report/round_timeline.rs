//! One learning round of a run as a timeline: what trains, what seals and opens, and what is on its way.

use std::time::Duration;

use ::report::pictures::{Bar, Picture, PictureError, Timeline, TimelineRow};
use protocol::manifest::Purpose;

use crate::simulation::{Lane, Party, Step};

/// The update round of this process that took the median time, up to where the next one begins, so with the evaluation between them;
/// none where none was seen.
///
/// # Errors
/// What the plotting library says.
pub fn round_timeline(steps: &[Step]) -> Result<Option<Picture>, PictureError> {
    let Some(shown) = median_round(steps) else {
        return Ok(None);
    };
    let within = |step: &&Step| !step.is_part && step.begin < shown.end && step.end > shown.begin;
    let mut parties: Vec<Party> = steps.iter().filter(within).map(|step| step.party).collect();
    parties.sort_unstable();
    parties.dedup();
    let all = parties.len();
    parties.truncate(MAX_ROWS);
    let since = |moment: Duration| moment.saturating_sub(shown.begin).as_secs_f64();
    let end = since(shown.end);
    let bar = |step: &Step| Bar {
        kind: Lane::of(step) as usize,
        from: since(step.begin),
        to: since(step.end).min(end),
    };
    let rows = parties.iter().map(|&party| {
        let own = steps.iter().filter(|step| step.party == party);
        TimelineRow {
            name: party.to_string(),
            bars: own.filter(within).map(bar).collect(),
        }
    });
    let left_out = match all - parties.len() {
        0 => String::new(),
        more => format!("; {more} more hospitals are not drawn"),
    };
    let timeline = Timeline {
        name: "round-timeline",
        title: &format!(
            "Round {} of the protocol, in seconds{left_out}",
            shown.number
        ),
        kinds: vec!["training", "computation", "upload", "download"],
        rows: rows.collect(),
        end,
    };
    timeline.picture().map(Some)
}

struct ShownRound {
    /// Of the protocol, which counts rounds of all purposes.
    number: u64,
    begin: Duration,
    end: Duration,
}

/// `steps` are in the order in which they begin.
fn median_round(steps: &[Step]) -> Option<ShownRound> {
    let mut begins: Vec<(u64, Duration)> = Vec::new();
    for step in steps {
        if let Some(round) = &step.round
            && round.purpose == Purpose::Update.name()
            && begins.iter().all(|(number, _)| *number != round.number)
        {
            begins.push((round.number, step.begin));
        }
    }
    let last = steps.iter().map(|step| step.end).max()?;
    let ends = begins.iter().skip(1).map(|(_, begin)| *begin).chain([last]);
    let mut rounds: Vec<ShownRound> = { begins.iter().zip(ends) }
        .map(|(&(number, begin), end)| ShownRound { number, begin, end })
        .collect();
    rounds.sort_by_key(|round| round.end.saturating_sub(round.begin));
    let middle = rounds.len().checked_sub(1)? / 2;
    rounds.into_iter().nth(middle)
}

/// On a page for people.
const MAX_ROWS: usize = 13;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::simulation::RoundName;

    fn step(party: Party, number: u64, name: &'static str, begin: u64, end: u64) -> Step {
        let purpose = match number % 2 {
            1 => Purpose::Update,
            _ => Purpose::Evaluation,
        };
        let round = RoundName {
            number,
            purpose: purpose.name().to_owned(),
        };
        Step {
            party,
            round: Some(Arc::new(round)),
            name,
            is_part: false,
            begin: Duration::from_secs(begin),
            end: Duration::from_secs(end),
        }
    }

    #[test]
    fn the_round_of_median_length_is_shown_with_its_evaluation() {
        let hospital = Party::Hospital(1);
        let mut steps = Vec::new();
        // Learning rounds of 10, 40 and 20 seconds.
        for (number, begin, end) in [(1, 0, 10), (3, 10, 50), (5, 50, 70)] {
            steps.push(step(hospital, number, "training", begin, end - 5));
            steps.push(step(Party::Coordinator, number, "adding", end - 5, end - 4));
            steps.push(step(hospital, number + 1, "evaluating", end - 3, end));
        }
        let picture = round_timeline(&steps)
            .expect("drawn")
            .expect("there is one");
        assert_eq!(
            picture.alt,
            "Round 5 of the protocol, in seconds, 20 s. coordinator: training 0.00 s, computation 1.00 s, upload 0.00 s, \
             download 0.00 s. hospital 1: training 18.00 s, computation 0.00 s, upload 0.00 s, download 0.00 s."
        );
        assert!(round_timeline(&[]).expect("nothing to draw").is_none());
    }

    #[test]
    fn what_does_not_fit_is_counted() {
        let steps: Vec<Step> = (1..=20)
            .map(|number| step(Party::Hospital(number), 1, "training", 0, 3))
            .collect();
        let picture = round_timeline(&steps)
            .expect("drawn")
            .expect("there is one");
        assert!(
            picture.alt.contains("7 more hospitals are not drawn"),
            "{}",
            picture.alt
        );
    }
}
