"""Products modulo X^N + 1 and a prime, in three ways that share nothing."""

import decimal

import numpy as np


def schoolbook(left, right, modulus):
    """By the definition: every coefficient with every other. Numbers are cut into limbs of 16 bits, so that
    `numpy.convolve`, which is the plain double sum for integers, cannot overflow."""
    degree, limbs = len(left), (modulus.bit_length() + 15) // 16
    cut = lambda words: [np.array([word >> 16 * k & 0xFFFF for word in words], dtype=np.int64) for k in range(limbs)]
    product = [0] * (2 * degree)
    for i, low in enumerate(cut(left)):
        for j, high in enumerate(cut(right)):
            for place, term in enumerate(np.convolve(low, high).tolist()):
                product[place] += term << 16 * (i + j)
    return [(product[place] - product[place + degree]) % modulus for place in range(degree)]


def multiply(left, right, modulus):
    """By Kronecker substitution: one product of two large numbers, in decimal because Python's `decimal` is the one of its
    types that multiplies large numbers fast. The modulus need not be prime."""
    degree = len(left)
    width = len(str(degree * modulus * modulus))
    exact = decimal.Context(prec=2 * degree * width, Emax=decimal.MAX_EMAX, traps=[decimal.Inexact])
    number = lambda words: decimal.Decimal("".join(str(word % modulus).zfill(width) for word in reversed(words)))
    digits = str(exact.multiply(number(left), number(right))).zfill(2 * degree * width)
    product = [int(digits[place : place + width]) for place in range(0, len(digits), width)][::-1]
    return [(product[place] - product[place + degree]) % modulus for place in range(degree)]


def evaluate(words, root, modulus):
    """All values at the odd powers of a primitive 2N-th root, entry j at root^(2 bitrev(j) + 1): the order of SEAL.

    Cooley and Tukey's decimation, from X^N + 1 = (X^(N/2) - root^(N/2)) (X^(N/2) + root^(N/2)) downwards.
    """

    def reduce(words, exponent):
        """The values of a polynomial known modulo X^n - root^exponent."""
        if len(words) == 1:
            return words
        half = len(words) // 2
        # X^n - r^e splits at the two square roots of r^e: r^(e/2) and -r^(e/2) = r^(e/2 + N).
        factor = pow(root, exponent // 2, modulus)
        turned = [word * factor % modulus for word in words[half:]]
        plus = [(low + high) % modulus for low, high in zip(words, turned)]
        minus = [(low - high) % modulus for low, high in zip(words, turned)]
        return reduce(plus, exponent // 2) + reduce(minus, exponent // 2 + degree)

    degree = len(words)
    return reduce(list(words), degree)


def interpolate(values, root, modulus):
    """The inverse of `evaluate`, by the same splitting upwards."""

    def rebuild(values, exponent):
        if len(values) == 1:
            return values
        half = len(values) // 2
        plus = rebuild(values[:half], exponent // 2)
        minus = rebuild(values[half:], exponent // 2 + degree)
        factor = pow(root, -(exponent // 2), modulus) * half_of_one % modulus
        low = [(a + b) * half_of_one % modulus for a, b in zip(plus, minus)]
        high = [(a - b) * factor % modulus for a, b in zip(plus, minus)]
        return low + high

    degree, half_of_one = len(values), (modulus + 1) // 2
    return rebuild(list(values), degree)


def multiply_by_transform(left, right, root, modulus):
    products = zip(evaluate(left, root, modulus), evaluate(right, root, modulus))
    return interpolate([a * b % modulus for a, b in products], root, modulus)
