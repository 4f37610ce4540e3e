//! Whole years from the three entries of a filter that belong to age, age at onset and duration.
//!
//! With the entries y of a patient and the factors W: `y1 / W1 = y2 / W2 + y3 / W3`. A few patients fix the three factors up to a common
//! scale, and that the years are whole numbers fixes the scale. `docs/security/filters.py` is the model of this.

/// The entries of one patient.
pub type Entries = [f64; 3];

/// What the entries are proportional to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// Years.
    Years,
    /// Years less those of one patient, the same for all: where something that is not known is added to each entry.
    FromOnePatient,
}

/// The whole years that fit the entries best: age, age at onset, duration. None where an entry never shows, or nothing fits.
pub fn whole_years(entries: &[Entries], counted: Counted) -> Option<Vec<[i32; 3]>> {
    if !(0..3).all(|place| entries.iter().any(|row| row[place] != 0.0)) {
        return None;
    }
    let inverse = inverse_factors(entries, counted);
    let ages = || entries.iter().map(|row| row[0] * inverse[0]);
    let most = ages().fold(f64::NEG_INFINITY, f64::max);
    let widest = match counted {
        Counted::Years => most,
        Counted::FromOnePatient => most - ages().fold(f64::INFINITY, f64::min),
    };
    if widest <= 0.0 || !widest.is_finite() {
        return None;
    }
    let (mut best, mut answer) = (f64::NEG_INFINITY, None);
    for step in 0..=STEPS {
        let share = f64::from(step) / f64::from(STEPS);
        let [least, largest] = counted.span();
        let scale = least * (largest / least).powf(share) / widest;
        let factors = inverse.map(|inverse| inverse * scale);
        let Some((factors, years)) = refit(factors, entries) else {
            continue;
        };
        let score = counted.score(&factors, &years, entries);
        if score > best {
            (best, answer) = (score, Some(years));
        }
    }
    answer
}

impl Counted {
    /// How old the oldest may be, or how many years older than the youngest.
    fn span(self) -> [f64; 2] {
        match self {
            Self::Years => [18.0, 90.0],
            Self::FromOnePatient => [4.0, 75.0],
        }
    }

    /// Of the released values, given whole years and these factors: the logarithm of their likelihood, less what more possible years
    /// are worth, because a finer set of years fits by chance.
    fn score(self, factors: &[f64; 3], years: &[[i32; 3]], entries: &[Entries]) -> f64 {
        let error = match self {
            Self::Years => ROUNDING,
            // The one patient's values are rounded too.
            Self::FromOnePatient => ROUNDING * 2.0_f64.sqrt(),
        };
        let mut score = 0.0;
        for (row, years) in entries.iter().zip(years) {
            if self == Self::Years && !(5 <= years[1] && years[1] <= years[0] && years[0] <= 90) {
                score -= 1e6;
            }
            for place in 0..3 {
                let expected = f64::from(years[place]) / factors[place];
                score -= ((row[place] - expected) / error).powi(2) / 2.0;
            }
        }
        let ages = || years.iter().map(|years| years[0]);
        let oldest = f64::from(ages().max().unwrap_or(1));
        let youngest = f64::from(ages().min().unwrap_or(0));
        let possible = match self {
            Self::Years => oldest,
            Self::FromOnePatient => oldest - youngest,
        };
        score - 3.0 * entries.len() as f64 * possible.max(1.0).ln()
    }
}

/// In proportion to 1 / W of each entry.
fn inverse_factors(entries: &[Entries], counted: Counted) -> [f64; 3] {
    let gram: [[f64; 3]; 3] = std::array::from_fn(|row| {
        std::array::from_fn(|column| entries.iter().map(|y| y[row] * y[column]).sum())
    });
    // In proportion to 1 / W1, -1 / W2, -1 / W3.
    let [age, onset, duration] = smallest_eigenvector(&gram);
    let inverse = [age, -onset, -duration];
    let is_upside_down = match counted {
        Counted::Years => entries.iter().map(|row| row[0]).sum::<f64>() * inverse[0] < 0.0,
        // Most have been ill for a short time, and a few for very long.
        Counted::FromOnePatient => {
            skewness(entries.iter().map(|row| row[2] * inverse[2]).collect()) < 0.0
        }
    };
    match is_upside_down {
        true => inverse.map(|value| -value),
        false => inverse,
    }
}

fn skewness(values: Vec<f64>) -> f64 {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    values.iter().map(|value| (value - mean).powi(3)).sum()
}

/// Of a symmetric matrix, by inverse iteration with Cramer's rule.
fn smallest_eigenvector(matrix: &[[f64; 3]; 3]) -> [f64; 3] {
    let shift = 1e-12 * (matrix[0][0] + matrix[1][1] + matrix[2][2]);
    let mut shifted = *matrix;
    for (place, row) in shifted.iter_mut().enumerate() {
        row[place] -= shift;
    }
    let cofactor = |row: usize, column: usize| {
        let at = |down: usize, right: usize| shifted[(row + down) % 3][(column + right) % 3];
        at(1, 1) * at(2, 2) - at(1, 2) * at(2, 1)
    };
    let mut vector = [1.0; 3];
    for _ in 0..50 {
        let next: [f64; 3] = std::array::from_fn(|row| {
            (0..3)
                .map(|column| cofactor(column, row) * vector[column])
                .sum()
        });
        let norm = next.iter().map(|value| value * value).sum::<f64>().sqrt();
        if norm == 0.0 {
            break;
        }
        vector = next.map(|value| value / norm);
    }
    vector
}

/// Whole years at these factors, and the factors that fit those years. None where there are none.
fn refit(mut factors: [f64; 3], entries: &[Entries]) -> Option<([f64; 3], Vec<[i32; 3]>)> {
    let mut years = Vec::new();
    for _ in 0..2 {
        if !factors.iter().all(|factor| factor.abs() < 1e9) {
            return None;
        }
        // The two whose factor leaves the smaller error are rounded; the third follows.
        let largest =
            (0..3).max_by(|&one, &other| factors[one].abs().total_cmp(&factors[other].abs()));
        years = entries
            .iter()
            .map(|row| {
                let of = |place: usize| (row[place] * factors[place]).round() as i32;
                match largest {
                    Some(0) => [of(1).saturating_add(of(2)), of(1), of(2)],
                    Some(1) => [of(0), of(0).saturating_sub(of(2)), of(2)],
                    _ => [of(0), of(1), of(0).saturating_sub(of(1))],
                }
            })
            .collect();
        for (place, factor) in factors.iter_mut().enumerate() {
            let rows = || entries.iter().zip(&years);
            let over: f64 = rows()
                .map(|(row, years)| row[place] * f64::from(years[place]))
                .sum();
            let under: f64 = years
                .iter()
                .map(|years| f64::from(years[place]).powi(2))
                .sum();
            if over == 0.0 || under == 0.0 {
                return None;
            }
            *factor = under / over;
        }
    }
    Some((factors, years))
}

/// Scales that are tried.
const STEPS: u32 = 4000;
/// Deviation of what is rounded to a multiple of 2^-12.
const ROUNDING: f64 = 1.0 / (4096.0 * 3.464_101_615_137_754_6);

#[cfg(test)]
mod tests {
    use super::*;

    const YEARS: [[i32; 3]; 8] = [
        [41, 30, 11],
        [23, 23, 0],
        [35, 33, 2],
        [56, 50, 6],
        [19, 18, 1],
        [44, 31, 13],
        [28, 28, 0],
        [50, 46, 4],
    ];

    fn released(add: [f64; 3]) -> Vec<Entries> {
        let weights = [0.21, -0.17, 0.29];
        YEARS
            .iter()
            .map(|years| {
                std::array::from_fn(|place| {
                    let value = add[place] + weights[place] * f64::from(years[place]) / 100.0;
                    (value * 4096.0).round() / 4096.0
                })
            })
            .collect()
    }

    #[test]
    fn years_are_found_without_any_factor() {
        let found = whole_years(&released([0.0; 3]), Counted::Years);
        assert_eq!(found, Some(YEARS.to_vec()));
    }

    #[test]
    fn years_between_patients_are_found_where_something_unknown_is_added() {
        let entries = released([0.3, -0.2, 0.1]);
        let first = entries[0];
        let differences: Vec<Entries> = entries
            .iter()
            .map(|row| std::array::from_fn(|place| row[place] - first[place]))
            .collect();
        let found = whole_years(&differences, Counted::FromOnePatient);
        let expected = YEARS.map(|years| {
            let of_first = YEARS[0];
            std::array::from_fn(|place| years[place] - of_first[place])
        });
        assert_eq!(found, Some(expected.to_vec()));
    }

    #[test]
    fn nothing_is_found_where_nobody_has_been_ill_for_a_year() {
        assert_eq!(whole_years(&[[0.1, 0.1, 0.0]; 3], Counted::Years), None);
    }
}
