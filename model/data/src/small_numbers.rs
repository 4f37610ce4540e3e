//! Whether a test has enough patients to say anything, in words that a clinician understands.

use protocol::counted::counted;

/// Fewer test patients say nothing of a model.
pub const FEWEST_PATIENTS: u64 = 10;
/// Fewer patients of one class say nothing of how that class is found.
pub const FEWEST_OF_A_CLASS: u64 = 5;

/// A warning that stands in the place of a headline, if the test is too small for one. `confusion[truth][prediction]` counts patients;
/// `classes` are the names of the classes.
///
/// ```
/// use model_data::small_numbers::warning;
///
/// assert!(warning(&[vec![20, 2], vec![3, 15]], &["lower", "higher"]).is_none());
/// let few = warning(&[vec![3, 0], vec![0, 0]], &["lower", "higher"]).expect("too few");
/// assert!(few.starts_with("TOO FEW PATIENTS TO TELL"));
/// ```
pub fn warning(confusion: &[Vec<u64>], classes: &[&str]) -> Option<String> {
    let of_class: Vec<u64> = confusion.iter().map(|row| row.iter().sum()).collect();
    let all: u64 = of_class.iter().sum();
    let named = || of_class.iter().zip(classes);
    let missing: Vec<&str> = named()
        .filter(|(count, _)| **count == 0)
        .map(|(_, name)| *name)
        .collect();
    let rare: Vec<String> = named()
        .filter(|(count, _)| (1..FEWEST_OF_A_CLASS).contains(*count))
        .map(|(count, name)| format!("{count} of class {name:?}"))
        .collect();
    let mut reasons = vec![];
    if all < FEWEST_PATIENTS {
        reasons.push(match all {
            0 => "the test has no patient".to_owned(),
            count => format!("the test has {}", counted(count, ["patient", "patients"])),
        });
    }
    if !missing.is_empty() {
        let missing = missing.iter().map(|name| format!("{name:?}"));
        reasons.push(format!(
            "no test patient is of class {}, so nobody knows whether the model finds one",
            missing.collect::<Vec<_>>().join(" or ")
        ));
    } else if !rare.is_empty() {
        reasons.push(format!("the test has only {}", rare.join(" and ")));
    }
    if reasons.is_empty() {
        return None;
    }
    let right: u64 = (0..confusion.len())
        .map(|class| confusion[class].get(class).copied().unwrap_or(0))
        .sum();
    let chance = if all < FEWEST_PATIENTS || !rare.is_empty() {
        "; with so few, chance alone gives such a result easily"
    } else {
        ""
    };
    Some(format!(
        "TOO FEW PATIENTS TO TELL how good the model is: {}. {right} of {all} were classified rightly{chance}. Use more patients",
        reasons.join("; ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLASSES: [&str; 3] = ["normal", "mild", "severe"];

    #[test]
    fn what_is_too_small_is_said_and_no_score_with_it() {
        let enough = [vec![5, 0, 0], vec![0, 5, 0], vec![1, 0, 4]];
        assert_eq!(warning(&enough, &CLASSES), None);
        let rare = [vec![9, 0, 0], vec![0, 9, 0], vec![0, 0, 4]];
        let text = warning(&rare, &CLASSES).expect("too few");
        assert!(text.contains("only 4 of class \"severe\""), "{text}");
        assert!(
            text.contains("22 of 22") && !text.contains("1.000"),
            "{text}"
        );
        let missing = [vec![30, 0, 0], vec![0, 0, 0], vec![0, 0, 0]];
        let text = warning(&missing, &CLASSES).expect("too few");
        assert!(text.contains("of class \"mild\" or \"severe\""), "{text}");
        let few = [vec![4, 0, 0], vec![0, 4, 0], vec![0, 1, 0]];
        let text = warning(&few, &CLASSES).expect("too few");
        assert!(
            text.contains("has 9 patients") && text.contains("8 of 9"),
            "{text}"
        );
        let text = warning(&[vec![0, 0], vec![0, 0]], &["a", "b"]).expect("too few");
        assert!(text.contains("has no patient"), "{text}");
    }
}
