"""The canonical embedding of X^N + 1 in fixed-point numbers of 128 fractional bits: exact for every purpose here.

zeta = exp(i pi / N). Slot t of a real polynomial is its value at zeta^(3^t); the other primitive roots are the conjugates
of these, so that N/2 real slots and N real coefficients with c_(N-i) = -c_i determine each other.
"""

from fractions import Fraction
from math import isqrt

import numpy as np

BITS = 128


class Embedding:
    def __init__(self, degree):
        self.degree = degree
        self.points = [(pow(3, slot, 2 * degree) - 1) // 2 for slot in range(degree // 2)]
        self.real, self.imaginary = powers_of_zeta(degree)

    def decode(self, coefficients, scale=1):
        """The floats nearest to the slots of whole coefficients, divided by an exact scale."""
        numbers = np.array([int(c) << BITS for c in coefficients], dtype=object)
        # The value at zeta^(2k + 1) is the sum of (c_i zeta^i) (zeta^2)^(k i).
        turned = numbers * self.real[: self.degree] >> BITS, numbers * self.imaginary[: self.degree] >> BITS
        values, _ = self._transform(*turned)
        unit = Fraction(scale) * (1 << BITS)
        return [float(int(values[point]) / unit) for point in self.points]

    def encode(self, values, scale):
        """The coefficients, as exact fractions, whose first slots are `values` times `scale`; the other slots are 0.

        c_i = 1/N sum over k of v_k zeta^(-(2k + 1) i); the sum is real, and so is its conjugate.
        """
        points = np.array([0] * self.degree, dtype=object)
        for point, value in zip(self.points, values):
            numerator, denominator = value.as_integer_ratio()
            points[point] = points[self.degree - 1 - point] = (numerator << BITS) // denominator
        real, imaginary = self._transform(points, points * 0)
        sums = real * self.real[: self.degree] - imaginary * self.imaginary[: self.degree] >> BITS
        unit = Fraction(scale) / (self.degree << BITS)
        return [int(number) * unit for number in sums]

    def _transform(self, real, imaginary):
        """Entry k is the sum over i of x_i zeta^(2 k i), by halves of even and odd places."""
        length = len(real)
        if length == 1:
            return real, imaginary
        a, b = self._transform(real[::2], imaginary[::2])
        c, d = self._transform(real[1::2], imaginary[1::2])
        step = 2 * self.degree // length
        x, y = self.real[: self.degree : step], self.imaginary[: self.degree : step]
        c, d = c * x - d * y >> BITS, c * y + d * x >> BITS
        return np.concatenate([a + c, a - c]), np.concatenate([b + d, b - d])


def powers_of_zeta(degree):
    """zeta^k for k <= 2N, as two arrays; zeta is i with its angle halved until it is pi / N."""
    one, cosine = 1 << BITS, 0
    for _ in range(degree.bit_length() - 2):
        # cos(x / 2) = sqrt((1 + cos x) / 2)
        cosine = isqrt((one + cosine) << (BITS - 1))
    powers = [(one, 0), (cosine, isqrt((one << BITS) - cosine * cosine))]
    for k in range(2, 2 * degree + 1):
        # From the two halves, so that roundings add up over the bits of k and not over k.
        (a, b), (c, d) = powers[k // 2], powers[k - k // 2]
        powers.append((a * c - b * d >> BITS, a * d + b * c >> BITS))
    return tuple(np.array(part, dtype=object) for part in zip(*powers))
