#!/usr/bin/env python3
"""What one shift of a logit tells of the clinical features, in the form of conditioning `late` (docs/THREATS.md 7).

    python3 docs/security/shifts.py [PATIENTS]         # 100 by default: three minutes

Plain Python, no packages; the same numbers every time. Patients are drawn as in filters.py. The vault gives the trainer, for each
version of u, round(u . z) of each patient: z are the features less their mean, over their deviation. Of two classes the second shift is
the negative of the first and tells nothing more.

The attacker here knows u, the means, the deviations and how often each value occurs: it has the help of a vault of some hospital. It
lists every set of features that fits what it was given, and takes the most frequent. Without u it can do no more than this.
"""

import random
import sys
from collections import Counter
from itertools import product
from math import prod, sqrt

from filters import AGES, FLAGS, patient

LIMIT = 8.0
POPULATION = 20000


def release(value, levels):
    """What leaves the vault: one of so many values in [-8, 8]."""
    grid = (levels - 1) / (2 * LIMIT)
    return max(-LIMIT, min(LIMIT, round(value * grid - 43.0 / (127.0 * 256.0)) / grid))


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    rng = random.Random(1)
    population = [patient(rng) for _ in range(POPULATION)]
    means = [sum(row[k] for row in population) / POPULATION for k in range(9)]
    deviations = [sqrt(sum((row[k] - means[k]) ** 2 for row in population) / POPULATION) for k in range(9)]
    ages = Counter(tuple(row[k] for k in AGES) for row in population)
    shares = [means[k] for k in FLAGS]
    flags = list(product([0.0, 1.0], repeat=len(FLAGS)))
    how_often = lambda own: prod(p if flag else 1 - p for flag, p in zip(own, shares))
    usual = [float(p > 0.5) for p in shares]
    usual_age = ages.most_common(1)[0][0][0]
    tested = population[:count]
    chance = sum(row[k] == guess for row in tested for k, guess in zip(FLAGS, usual)) / (count * len(FLAGS))
    near = sum(abs(row[AGES[0]] - usual_age) <= 1 for row in tested) / count
    print(f"{count} patients, u of a deviation of 0.5 an entry")
    print(f"levels    versions   flags right   ages within a year   sets of features that fit (median)")
    print(f"guessing  {'-':>8} {100 * chance:12.1f}% {100 * near:19.0f}%")
    for levels, versions in [(65537, 1), (1025, 1), (33, 1), (9, 1), (33, 3), (33, 9)]:
        us = [[rng.gauss(0, 0.5) for _ in range(9)] for _ in range(versions)]
        part = lambda u, places, values: sum(u[k] * (value - means[k]) / deviations[k] for k, value in zip(places, values))
        of_flags = [(own, how_often(own), [part(u, FLAGS, own) for u in us]) for own in flags]
        of_ages = [(own, often, [part(u, AGES, own) for u in us]) for own, often in ages.items()]
        right = close = 0
        fitting = []
        for row in tested:
            given = [release(part(u, range(9), row), levels) for u in us]
            best, answer, fits = -1.0, None, 0
            for flag, often, sums in of_flags:
                for age, as_often, more in of_ages:
                    if all(release(a + b, levels) == value for a, b, value in zip(sums, more, given)):
                        fits += 1
                        if often * as_often > best:
                            best, answer = often * as_often, (flag, age)
            fitting.append(fits)
            right += sum(row[k] == guess for k, guess in zip(FLAGS, answer[0]))
            close += abs(row[AGES[0]] - answer[1][0]) <= 1
        fitting.sort()
        print(f"{levels:8} {versions:9} {100 * right / (count * len(FLAGS)):12.1f}% {100 * close / count:19.0f}% {fitting[count // 2]:18}")


if __name__ == "__main__":
    main()
