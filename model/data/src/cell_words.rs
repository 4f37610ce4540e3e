//! What people write into the cells of a clinical table: numbers, years, sex, yes and no, symptoms.
//!
//! A word that is not known here is [`Cell::Unclear`], never a value and never merely missing: somebody wrote it, and must be told.

/// What a cell says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Cell<T> {
    /// This.
    Value(T),
    /// Nothing: it is empty, or says that nothing is known.
    Empty,
    /// Something that is not understood.
    Unclear,
}

impl<T> Cell<T> {
    /// Reads a trimmed cell; empty ones need no reading.
    fn of(cell: &str, read: impl FnOnce(&str) -> Option<T>) -> Self {
        if cell.is_empty() {
            return Self::Empty;
        }
        read(&cell.to_lowercase()).map_or(Self::Unclear, Self::Value)
    }
}

/// A finite number with a decimal point or a decimal comma.
pub(super) fn number(cell: &str) -> Option<f64> {
    let number = cell.replace(',', ".").parse().ok();
    number.filter(|value: &f64| value.is_finite())
}

/// A number, or yes and no as 1 and 0.
pub(super) fn numeric(cell: &str) -> Cell<f64> {
    Cell::of(cell, |cell| number(cell).or_else(|| yes_or_no_word(cell)))
}

/// Years from 0 to [`OLDEST`]: "34", "34,5", "034Y", "34 years", "30 months".
pub(super) fn years(cell: &str) -> Cell<f64> {
    Cell::of(cell, |cell| {
        let unit = cell.trim_start_matches(|c: char| c.is_ascii_digit() || ".,+-".contains(c));
        let digits = &cell[..cell.len() - unit.len()];
        let per_year = match unit.trim().trim_end_matches('.') {
            "" | "y" | "yr" | "yrs" | "year" | "years" | "y/o" | "yo" | "j" | "jahr" | "jahre"
            | "an" | "ans" | "año" | "años" | "anni" | "yaş" | "yıl" => 1.0,
            "m" | "mo" | "month" | "months" | "monat" | "monate" | "mois" | "meses" | "mesi"
            | "ay" => 12.0,
            _ => return None,
        };
        let years = number(digits)? / per_year;
        (0.0..=OLDEST).contains(&years).then_some(years)
    })
}

/// 0 for a woman, 1 for a man; neither is as good as unknown. Numbers are codes that differ from place to place.
pub(super) fn sex(cell: &str) -> Cell<f64> {
    let neither = ["o", "n", "d", "x", "other", "divers", "diverse"];
    if neither.iter().any(|word| cell.eq_ignore_ascii_case(word)) {
        return Cell::Empty;
    }
    Cell::of(cell, |cell| match cell {
        "f" | "female" | "w" | "weiblich" | "frau" | "woman" | "kadın" | "kadin" | "femme"
        | "féminin" | "mujer" | "femenino" | "femmina" | "donna" | "feminino" => Some(0.0),
        "m" | "male" | "mann" | "männlich" | "maennlich" | "man" | "erkek" | "homme"
        | "masculin" | "hombre" | "masculino" | "maschio" | "uomo" => Some(1.0),
        _ => None,
    })
}

/// 1 for yes, 0 for no.
pub(super) fn yes_or_no(cell: &str) -> Cell<f64> {
    Cell::of(cell, yes_or_no_word)
}

fn yes_or_no_word(cell: &str) -> Option<f64> {
    match cell {
        "no" | "n" | "false" | "nein" | "non" | "hayır" | "yok" | "não" => return Some(0.0),
        "yes" | "y" | "true" | "ja" | "oui" | "sí" | "si" | "sì" | "evet" | "var" | "sim" => {
            return Some(1.0);
        }
        _ => (),
    }
    // Whole numbers beside missing ones come out of pandas as 1.0 and 0.0.
    number(cell).filter(|value| [0.0, 1.0].contains(value))
}

/// Motor, sensory, visual and balance flags of a cell such as "Sensory & Visual ,Balance" or "Optic neuritis".
///
/// The first letters of a word decide ("Motore"). Symptoms of other systems set no flag; a cell in which no word is known is unclear.
pub(super) fn symptoms(cell: &str) -> Cell<[f64; 4]> {
    Cell::of(cell, |cell| {
        let words: Vec<&str> = cell
            .split(|c: char| !c.is_alphabetic())
            .filter(|word| !word.is_empty())
            .collect();
        let mut flags = [0.0; 4];
        let mut understood = false;
        for word in words {
            let starts = |starts: &&str| word.starts_with(starts);
            let system = SYSTEMS
                .iter()
                .position(|beginnings| beginnings.iter().any(starts));
            if let Some(system) = system {
                flags[system] = 1.0;
            }
            understood |= system.is_some() || OTHER_SYMPTOMS.iter().any(starts);
        }
        understood.then_some(flags)
    })
}

/// How words for symptoms begin, in English and German: motor, sensory, visual, balance.
const SYSTEMS: [&[&str]; 4] = [
    &[
        "mot",
        "weak",
        "paresis",
        "parese",
        "parap",
        "hemip",
        "tetrap",
        "monop",
        "plegi",
        "spast",
        "lähm",
        "schwäch",
        "kraftmind",
    ],
    &[
        "sens",
        "numb",
        "tingl",
        "paraest",
        "parest",
        "paräst",
        "hypaest",
        "hypest",
        "hypäst",
        "dysaest",
        "dysest",
        "dysäst",
        "taub",
        "kribbel",
        "gefühl",
        "lhermitte",
    ],
    &[
        "vis",
        "optic",
        "optik",
        "retrobulb",
        "diplop",
        "doppelbild",
        "blurr",
        "seh",
        "amauro",
    ],
    &[
        "bal",
        "atax",
        "vertig",
        "dizz",
        "schwind",
        "gleichgew",
        "imbalance",
        "unstead",
    ],
];
/// Of none of the four.
const OTHER_SYMPTOMS: &[&str] = &[
    "pain", "schmerz", "fatig", "müdig", "behav", "sexual", "bladder", "blase", "bowel", "urin",
    "sphinct", "cogn", "kogn", "memor", "mental", "depress", "seiz", "epilep", "headache",
    "speech", "dysarth", "swallow", "dysphag",
];

/// No one is older.
pub(super) const OLDEST: f64 = 120.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn years_may_have_a_unit() {
        for (cell, wanted) in [
            ("34", Cell::Value(34.0)),
            ("34,5", Cell::Value(34.5)),
            ("034Y", Cell::Value(34.0)),
            ("34 Jahre", Cell::Value(34.0)),
            ("30 months", Cell::Value(2.5)),
            ("", Cell::Empty),
            ("121", Cell::Unclear),
            ("-1", Cell::Unclear),
            ("34 cm", Cell::Unclear),
            ("about 30", Cell::Unclear),
            ("1e1", Cell::Unclear),
        ] {
            assert_eq!(years(cell), wanted, "{cell}");
        }
    }

    #[test]
    fn words_of_other_languages_are_known_and_codes_are_not_guessed() {
        for (cell, wanted) in [
            ("Kadın", Cell::Value(0.0)),
            ("w", Cell::Value(0.0)),
            ("MALE", Cell::Value(1.0)),
            ("1.0", Cell::Unclear),
            ("2", Cell::Unclear),
            ("Other", Cell::Empty),
        ] {
            assert_eq!(sex(cell), wanted, "{cell}");
        }
        for (cell, wanted) in [
            ("Ja", Cell::Value(1.0)),
            ("0.0", Cell::Value(0.0)),
            ("1", Cell::Value(1.0)),
            ("2", Cell::Unclear),
            ("Hypertension", Cell::Unclear),
        ] {
            assert_eq!(yes_or_no(cell), wanted, "{cell}");
        }
    }

    #[test]
    fn symptoms_are_told_by_how_words_begin() {
        for (cell, wanted) in [
            ("Motore", Cell::Value([1.0, 0.0, 0.0, 0.0])),
            (
                "Sensory & Visual ,Balance , Motor, Sexual",
                Cell::Value([1.0; 4]),
            ),
            ("Paraparesis", Cell::Value([1.0, 0.0, 0.0, 0.0])),
            (
                "Paraesthesia of the left arm",
                Cell::Value([0.0, 1.0, 0.0, 0.0]),
            ),
            (
                "Doppelbilder und Schwindel",
                Cell::Value([0.0, 0.0, 1.0, 1.0]),
            ),
            ("Pain", Cell::Value([0.0; 4])),
            ("relapse", Cell::Unclear),
            ("1", Cell::Unclear),
            ("", Cell::Empty),
        ] {
            assert_eq!(symptoms(cell), wanted, "{cell}");
        }
    }
}
