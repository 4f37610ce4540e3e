"""Sharing a vector among hospitals, and rebuilding it (PROTOCOL 3.5 and 3.7)."""

import numpy as np

from .primes import SHARE_MODULUS as P


def share(coefficients, point):
    """The value at `point` of the polynomial whose coefficients are vectors, the secret first: Horner's rule."""
    value = np.zeros(len(coefficients[0]), dtype=np.int64)
    for coefficient in reversed(coefficients):
        value = (value * point + np.array(coefficient, dtype=np.int64)) % P
    return value.tolist()


def lagrange_at_zero(points):
    """prod over l != j of x_l / (x_l - x_j), for every j."""
    factors = []
    for own in points:
        factor = 1
        for other in points:
            if other != own:
                factor = factor * other * pow(other - own, -1, P) % P
        factors.append(factor)
    return factors


def rebuild(answers):
    """The shared vector from {point: share}, by Lagrange's formula, each element of smallest magnitude."""
    factors = lagrange_at_zero(list(answers))
    columns = zip(*answers.values())
    residues = (sum(factor * element for factor, element in zip(factors, column)) % P for column in columns)
    return [residue if residue <= P // 2 else residue - P for residue in residues]
