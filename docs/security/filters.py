#!/usr/bin/env python3
"""How much of the clinical features the trainer can compute from the filters it is given (docs/THREATS.md 7).

    python3 docs/security/filters.py [TRIALS]          # 100 by default: two minutes

Plain Python, no packages; the same numbers every time. Patients are drawn as the phantom cohort draws them (clinical.rs
of the phantom: distributions of MS60, the correlations called "teaching", nothing missing), W by PyTorch's rule for a
3x3 convolution of one channel, uniform in [-1/3, 1/3]. The vault's part is PROTOCOL.md 5.4, step 6. The attacker knows
what is public: the order of the features, their ranges, that ages are whole years, and age = onset + duration. It is
given the filters of ONE round and nothing else.
"""

import random
import sys
from math import erf, floor, log, sqrt

AGE_YEARS = [(0.0, 15.0), (0.1, 17.0), (0.25, 20.0), (0.5, 33.0), (0.75, 42.0), (0.9, 47.0), (1.0, 56.999)]
DURATION_YEARS = [(0.0, 0.0), (0.4, 0.5), (0.5, 2.0), (0.75, 4.5), (0.9, 10.0), (1.0, 21.999)]
YOUNGEST_ONSET, SHARE_OF_MEN, SHARE_OF_COMORBIDITY = 8.0, 0.23, 0.22
SYMPTOMS = [(0.32, 0.65), (0.42, -0.4), (0.33, 0.0), (0.12, -0.35)]  # share, loading on disability
GRID, SHIFT = 4096.0, 43.0 / (127.0 * 256.0)
FLAGS, AGES = [0, 4, 5, 6, 7, 8], [1, 2, 3]


def cdf(z):
    return (1.0 + erf(z / sqrt(2.0))) / 2.0


def quantile(table, probability):
    for (below, low), (above, high) in zip(table, table[1:]):
        if probability <= above:
            return low + (high - low) * (probability - below) / (above - below)
    return table[-1][1]


def patient(rng):
    """Nine raw features: sex, age, onset, duration, co-morbidity, four symptoms."""
    disability = rng.gauss(0, 1)
    correlated = lambda other, rho: rho * other + sqrt(1 - rho * rho) * rng.gauss(0, 1)
    age_normal = correlated(disability, 0.45)
    age = floor(quantile(AGE_YEARS, cdf(age_normal)))
    late = 0.4 * age_normal + correlated(disability, 0.1) * sqrt(1 - 0.4**2)
    duration = min(floor(quantile(DURATION_YEARS, cdf(late))), age - YOUNGEST_ONSET)
    ill = 0.25 * disability + sqrt(1 - 0.25**2) * correlated(age_normal, 0.4)
    flags = [float(cdf(correlated(disability, loading)) > 1 - share) for share, loading in SYMPTOMS]
    sex = float(rng.random() < SHARE_OF_MEN)
    return [sex, age, age - duration, duration, float(cdf(ill) > 1 - SHARE_OF_COMORBIDITY)] + flags


def release(product):
    """What leaves the vault."""
    return max(-1.0, min(1.0, round(product * GRID - SHIFT) / GRID))


def smallest_eigenvector(m):
    """Of a symmetric 3x3 matrix, by inverse iteration with Cramer's rule."""
    shift = 1e-12 * (m[0][0] + m[1][1] + m[2][2])
    a = [[m[i][j] - (shift if i == j else 0) for j in range(3)] for i in range(3)]
    cofactor = lambda i, j: (a[(i + 1) % 3][(j + 1) % 3] * a[(i + 2) % 3][(j + 2) % 3]
                             - a[(i + 1) % 3][(j + 2) % 3] * a[(i + 2) % 3][(j + 1) % 3])
    adjugate = [[cofactor(j, i) for j in range(3)] for i in range(3)]
    vector = [1.0, 1.0, 1.0]
    for _ in range(50):
        vector = [sum(adjugate[i][j] * vector[j] for j in range(3)) for i in range(3)]
        norm = sqrt(sum(x * x for x in vector)) or 1.0
        vector = [x / norm for x in vector]
    return vector


def whole_years(filters):
    """The ages that fit the filters best. With entries y: y1 / W1 = y2 / W2 + y3 / W3 fixes the ratios of the three
    factors, and that all are whole years fixes the scale."""
    y = [[f[k] for k in AGES] for f in filters]
    if not all(any(row[k] for row in y) for k in range(3)):
        return None  # Nobody has been ill for a year, or a factor is too small to be seen: not tried.
    gram = [[sum(row[i] * row[j] for row in y) for j in range(3)] for i in range(3)]
    inverse = smallest_eigenvector(gram)  # proportional to 100 / W1, -100 / W2, -100 / W3
    inverse = [inverse[0], -inverse[1], -inverse[2]]
    if sum(row[0] for row in y) * inverse[0] < 0:
        inverse = [-x for x in inverse]
    oldest = max(row[0] * inverse[0] for row in y)
    if oldest <= 0:
        return None
    error = 1 / (GRID * sqrt(12.0))
    best, answer = -1e300, None
    steps = 4000
    for step in range(steps + 1):
        factors = [x * 18.0 * (90.0 / 18.0) ** (step / steps) / oldest for x in inverse]
        factors, years = refit(factors, y)
        if years is None:
            continue
        # Likelihood of the released values, given whole years and these factors.
        score = 0.0
        for row, (age, onset, duration) in zip(y, years):
            if not (5 <= onset <= age <= 90):
                score -= 1e6
            for value, year, factor in zip(row, (age, onset, duration), factors):
                score -= ((value - year / factor) / error) ** 2 / 2
        # Of two sets of years that fit, the one with fewer possibilities: a finer one fits by chance.
        score -= 3 * len(y) * log(max(row[0] for row in years))
        if score > best:
            best, answer = score, years
    return answer


def refit(factors, y):
    """Whole years at these factors, and the factors that fit those years."""
    years = None
    for _ in range(2):
        years = []
        if not all(abs(factor) < 1e9 for factor in factors):
            return factors, None
        for row in y:
            age, onset, duration = (value * factor for value, factor in zip(row, factors))
            # Round the two whose factor leaves the smaller error; the third follows.
            spread = sorted((abs(factor), k) for k, factor in enumerate(factors))
            known = {spread[0][1], spread[1][1]}
            a, o, d = round(age), round(onset), round(duration)
            if 0 not in known:
                a = o + d
            elif 1 not in known:
                o = a - d
            else:
                d = a - o
            years.append((a, o, d))
        fitted = []
        for k in range(3):
            over = sum(row[k] * year[k] for row, year in zip(y, years))
            under = sum(year[k] ** 2 for year in years)
            if over == 0 or under == 0:
                return factors, None
            fitted.append(under / over)
        factors = fitted
    return factors, years


def trial(rng, patients):
    raw = [patient(rng) for _ in range(patients)]
    weights = [rng.uniform(-1 / 3, 1 / 3) for _ in range(9)]
    scale = [1, 100, 100, 100, 1, 1, 1, 1, 1]
    filters = [[release(w * f / s) for w, f, s in zip(weights, row, scale)] for row in raw]
    right = sum((filters[p][k] != 0) == (raw[p][k] != 0) for p in range(patients) for k in FLAGS)
    years = whole_years(filters)
    exact = 0 if years is None else sum(guess[0] == row[1] for guess, row in zip(years, raw))
    near = 0 if years is None else sum(abs(guess[0] - row[1]) <= 1 for guess, row in zip(years, raw))
    return right / (patients * len(FLAGS)), exact / patients, near / patients


def main():
    trials = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    print(f"{trials} trials each, the filters of one round; W and patients drawn anew for each trial")
    print("patients   flags read off right   all ages exact      nine of ten ages within a year")
    for patients in (5, 10, 30):
        rng = random.Random(1)
        results = [trial(rng, patients) for _ in range(trials)]
        flags = 100 * sum(right for right, _, _ in results) / trials
        exact = 100 * sum(exact == 1 for _, exact, _ in results) / trials
        near = 100 * sum(near >= 0.9 for _, _, near in results) / trials
        print(f"{patients:8} {flags:20.1f}% {exact:10.0f}% of trials {near:14.0f}% of trials")


if __name__ == "__main__":
    main()
