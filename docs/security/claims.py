#!/usr/bin/env python3
"""The numbers in docs/THREATS.md, computed; fails if one of them is not so.

    python3 docs/security/claims.py

Plain Python, no packages. What can be counted is counted exactly: in whole numbers or fractions, or with
lgamma where only the size of a tail matters.
"""

from fractions import Fraction
from itertools import product
from math import ceil, comb, exp, floor, lgamma, log, log2, pi, sqrt

N, COINS, Q, P = 4096, 64, 2**62 - 2**16 + 1, 65521


def threshold(n):
    return 2 if n <= 3 else 2 * n // 3 + 1


def least_contributors(n):
    return threshold(n) + 1 if n >= 7 else threshold(n)


def claim(text, holds):
    print(("  holds   " if holds else "  FAILS   ") + text)
    global failures
    failures += not holds


def log2_binomial_tail(trials, most):
    """log2 of P(Bin(trials, 1/2) <= most)."""
    terms = [lgamma(trials + 1) - lgamma(k + 1) - lgamma(trials - k + 1)
             for k in range(max(0, most - 4000), most + 1)]
    top = max(terms)
    return (top + log(sum(exp(term - top) for term in terms))) / log(2) - trials


def conditional_law(coins):
    """Lemma 1 by enumeration: all outcomes of 2 * coins fair coins, sorted by their pair sums."""
    views, sums = {}, {}
    for first in product((0, 1), repeat=coins):
        for second in product((0, 1), repeat=coins):
            pairs = tuple(a + b for a, b in zip(first, second))
            views.setdefault(pairs, []).append(sum(first))
            sums.setdefault(sum(pairs), []).append(sum(first))
    for pairs, values in views.items():
        m, shift = pairs.count(1), pairs.count(2)
        if any(Fraction(values.count(shift + k), len(values)) != Fraction(comb(m, k), 2**m)
               for k in range(m + 1)):
            return False
    # And the law given the sum alone: hypergeometric.
    return all(
        Fraction(values.count(k), len(values))
        == Fraction(comb(coins, k) * comb(coins, total - k), comb(2 * coins, total))
        for total, values in sums.items()
        for k in range(max(0, total - coins), min(coins, total) + 1)
    )


def ternary():
    """Chances that the sum of two ternary secrets shows a coefficient, and that it leaves two values."""
    sums = {}
    for a, b in product((-1, 0, 1), repeat=2):
        sums.setdefault(a + b, set()).add(a)
    chance = {size: Fraction(0) for size in (1, 2, 3)}
    for a, b in product((-1, 0, 1), repeat=2):
        chance[len(sums[a + b])] += Fraction(1, 9)
    return chance


def uniform_sum(parts, size):
    """Distribution of the sum of `parts` uniform numbers below `size`."""
    law = [1.0]
    for _ in range(parts):
        running, window = 0.0, []
        for k in range(len(law) + size - 1):
            running += law[k] if k < len(law) else 0.0
            running -= law[k - size] if k >= size else 0.0
            window.append(running / size)
        law = window
    return law


def distance_of_shift(law, shift):
    """Total variation between a law and itself shifted."""
    padded, moved = law + [0.0] * shift, [0.0] * shift + law
    return sum(abs(a - b) for a, b in zip(padded, moved)) / 2


def boundary_cases(log2_error, values):
    """Expected number of values whose rounding to multiples of 2^-12 an error of this size decides."""
    return values * 2**log2_error * sqrt(2 / pi) / 2**-12


def on_boundary(bound):
    """Chance that an f32 drawn uniformly below `bound` in magnitude is an odd multiple of 2^-13."""
    chance, top = 0.0, bound
    while top > 2**-13:
        bottom = 2.0 ** (ceil(log2(top)) - 1)
        spacing = 2.0 ** (log2(bottom) - 23)
        chance += (top - bottom) / bound * spacing / 2**-12
        top = bottom
    return chance


failures = 0

print("Key sum (section 4)")
claim("given the pair sums a coefficient is a known shift plus Bin(m, 1/2); given only the sum it is "
      "hypergeometric (enumeration, 1 to 5 coins)", all(conditional_law(c) for c in range(1, 6)))
claim("mean variance of m/4 with m ~ Bin(64, 1/2) is 8, standard deviation 2.83",
      sum(comb(64, m) * m for m in range(65)) == 32 * 2**64 and abs(sqrt(8) - 2.83) < 0.005)
tail = log2_binomial_tail(COINS * N, 31 * N) + 1
print(f"          P(mean of m over {N} coefficients leaves 32 +- 1) = 2^{tail:.0f}")
claim("which is below 2^-180", tail < -180)
low = log2_binomial_tail(64, 24)
print(f"          P(m <= 24) = 2^{low:.1f}: {2**low:.3f} of the coefficients")
coordinates = 516 * N
quantile = next(m for m in range(65) if coordinates * 2 ** log2_binomial_tail(64, m) >= 8400)
claim(f"the 8400 narrowest of the {coordinates} coordinates of a round have m <= 21", quantile == 21)
claim("that any coordinate of 100 hospitals and 1000 rounds has m <= 1 (known, or one bit left): below 2^-20",
      log2(coordinates * 99 * 1000) + log2_binomial_tail(64, 1) < -20)
claim("ternary secrets of two: 2/9 of the coefficients shown, one bit left in 4/9",
      ternary()[1] == Fraction(2, 9) and ternary()[2] == Fraction(4, 9))
claim("99 hybrids in each of 1000 rounds: less than 2^17", 99 * 1000 < 2**17)
for n in (3, 7, 10, 30, 100, 127):
    choices = log2(sum(comb(n, k) for k in range(least_contributors(n), n + 1)))
    print(f"          n = {n:3}: 2^{choices:.1f} sets U of at least m_min = {least_contributors(n)}")

print("Exactness")
claim("127 noises of 32 stay below half a step; 127 secrets of 32 are determined modulo p",
      127 * 32 < 2**12 and 2 * 127 * 32 < P)
claim("the largest message and noise stay below q", ((127 * (2**17 - 1)) << 24 | 127 * (2**17 - 1)) < 2**48
      and 2**13 * 2**48 + 2**12 < Q)

print("Tag and dealer check (section 5)")
claim("two tags modulo 2^31 - 1: 2^-62", abs(-2 * log2(2**31 - 1) + 62) < 1e-6)
claim("sums of 127 padded tags stay below 2^48", 127 * (2**31 - 2 + (2**31 - 1) * 1023) < 2**48)
for honest in (2, 10, 100):
    law = uniform_sum(honest, 1024)
    print(f"          padding of 10 bits, {honest} honest: number of wraps, one apart, distance "
          f"{distance_of_shift(law, 1):.6f}")
law = uniform_sum(2, 1024)
shifted = law + [0.0]
wraps = [0.5 * a + 0.5 * b for a, b in zip(shifted, [0.0] + law)]
information = sum(0.5 * a * log2(a / w) for a, w in zip(shifted, wraps) if a > 0) * 2
print(f"          information of a tag on one fair bit of wrapping, two honest: {information:.6f} bits")
claim("distance 2^-10 for two honest, information below 2^-18 bits a tag",
      abs(distance_of_shift(law, 1) - 2**-10) < 1e-9 and information < 2**-18)
claim("eight scalars modulo p: 2^-128 to a thousandth of a bit", abs(-8 * log2(P) + 128) < 0.005)

print("Collusion (section 6)")
rows = []
for n in range(2, 128):
    t, least_u = threshold(n), least_contributors(n)
    curious = min(t - 1, least_u - 2)
    lying = max(0, min(2 * t - n - 1, least_u - 2))
    rows.append((n, t, least_u, curious, lying))
claim("from 7 hospitals on, a coordinator that follows the protocol gains nothing from any t - 1 colluders",
      all(curious == t - 1 for n, t, _, curious, _ in rows if n >= 7))
claim("with 2 and 3 hospitals no contributor can be let collude",
      all(curious == 0 for n, _, _, curious, _ in rows if n <= 3))
claim("2t - n - 1 colluders cannot make 2t answers of which two sets share no honest vault, 2t - n can",
      all((n - c) + 2 * c < 2 * t and (n - c - 1) + 2 * (c + 1) >= 2 * t
          for n, t, *_ in rows for c in [2 * t - n - 1]))
named = {n: (n - t) // 2 for n, t, *_ in rows}
claim("with all answering nobody can be named for n <= 6, one row for 7 to 12, 16 for 100",
      all(named[n] == 0 for n in range(2, 7)) and all(named[n] == 1 for n in range(7, 13)) and named[100] == 16)
for n, t, least_u, curious, lying in rows:
    if n in (2, 3, 4, 5, 6, 7, 10, 20, 50, 100, 127):
        print(f"          n = {n:3}: t = {t:2}, m_min = {least_u:2}, colluders withstood: {curious:2} with a "
              f"coordinator that follows the protocol, {lying:2} with one that lies")

print("Released products (section 7)")
values = 1000 * 4095
for name, error, expected in (("hardened", -36.4, 0.15), ("hardened at the limits", -33.2, 1.4),
                              ("study", -29.5, 18)):
    cases = boundary_cases(error, values)
    print(f"          {name}: {cases:.2f} values of 4 million lie within the error of a boundary")
    claim(f"that is the {expected} of PROTOCOL 5.5", abs(cases / expected - 1) < 0.1)
chance = on_boundary(1 / 3)
flags = chance * 1000 * 6
print(f"          an f32 weight below 1/3 lies ON a middle with chance 2^{log2(chance):.1f}; six flags, 1000 "
      f"versions: {flags:.2f} events, {flags * 455 / 2:.0f} values where half of 455 patients have the flag")
shift = Fraction(43, 127 * 2**8)
sixth = Fraction(21, 127)
claim("boundaries moved by 43/127 2^-8 of a grid step stay 21/127 of the spacing away from every f32 of magnitude from 2^-13 to 1",
      all(min(shift % s, s - shift % s) >= s * sixth for s in (Fraction(1, 2**k) for k in range(8, 25))))
claim("and 43/127 2^-8 of a step or more from every coarser binary grid",
      all(min(shift % s, s - shift % s) >= shift for s in (Fraction(1, 2**k) for k in range(0, 8))))
claim("no f32 times k/d with d up to 126 is on a boundary: the boundary's denominator has the factor 127 for every multiple",
      all((Fraction(2 * m + 1, 2) + shift).denominator % 127 == 0 for m in range(-4096, 4096)))
claim("with boundaries in the middles, features of 0 and 1 would break the even spread: more than 50 values, not 0.15",
      flags * 455 / 2 > 50)
for asked in (1000, 10**6):
    bits = log2(sum(comb(asked, k) for k in range(4)))
    print(f"          three refusals among {asked} products tell at most {bits:.0f} bits")
claim("at most 58 bits of a key of 8192 ternary coefficients for a million products",
      log2(sum(comb(10**6, k) for k in range(4))) < 58)

raise SystemExit(1 if failures else 0)
