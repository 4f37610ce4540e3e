"""CKKS with one key by large integers: no residue number system but where the scheme itself needs one (PROTOCOL 5.4).

A polynomial is a list of N whole numbers modulo Q or Q P, the products of the data primes without and with the special
prime. All that is random is an argument.
"""

from math import prod

from .negacyclic import multiply


class Keys:
    """What follows from a secret, for one set of primes."""

    def __init__(self, data_primes, special_prime, secret):
        self.data_primes, self.special_prime, self.secret = data_primes, special_prime, secret
        self.modulus = prod(data_primes)

    def masked(self, uniform, error, modulus):
        """-a s + e."""
        return [(e - p) % modulus for p, e in zip(multiply(uniform, self.secret, modulus), error)]

    def encrypt_symmetric(self, message, uniform, error):
        """(-a s + e + m, a)."""
        masked = self.masked(uniform, error, self.modulus)
        return add(masked, message, self.modulus), uniform

    def public_key(self, uniform, error):
        """(-a s + e, a) modulo Q P. Modulo Q it is one as well."""
        return self.masked(uniform, error, self.modulus * self.special_prime), uniform

    def relinearisation_key(self, uniforms, errors):
        """For each data prime q_d: (-a_d s + e_d + P s^2 on prime d only, a_d) modulo Q P."""
        modulus = self.modulus * self.special_prime
        square = multiply(self.secret, self.secret, modulus)
        key = []
        for prime, uniform, error in zip(self.data_primes, uniforms, errors):
            # P modulo q_d and 0 modulo every other prime and P.
            others = modulus // prime
            factor = others * pow(others, -1, prime) * self.special_prime % modulus
            masked = self.masked(uniform, error, modulus)
            key.append((add(masked, [factor * x for x in square], modulus), uniform))
        return key

    def decrypt(self, ciphertext, modulus):
        """c0 + c1 s, each coefficient of smallest magnitude."""
        constant, linear = ciphertext
        return [centred(x, modulus) for x in add(constant, multiply(linear, self.secret, modulus), modulus)]


def encrypt(public_key, message, blind, error0, error1, modulus):
    """(b v + e0 + m, a v + e1)."""
    masked, uniform = public_key
    constant = add(multiply(masked, blind, modulus), error0, modulus)
    return add(constant, message, modulus), add(multiply(uniform, blind, modulus), error1, modulus)


def tensor(left, right, modulus):
    """(c0 c0', c0 c1' + c1 c0', c1 c1')."""
    (a, b), (c, d) = left, right
    linear = add(multiply(a, d, modulus), multiply(b, c, modulus), modulus)
    return multiply(a, c, modulus), linear, multiply(b, d, modulus)


def relinearise(product, key, data_primes, special_prime):
    """(d0, d1) and the sum over the digits of d2 times the key, divided by P.

    Digit d is the residue modulo q_d of smallest magnitude.
    """
    constant, linear, quadratic = product
    modulus = prod(data_primes)
    sums = [[0] * len(quadratic)] * 2
    for prime, digit in zip(data_primes, key):
        small = [centred(x % prime, prime) for x in quadratic]
        sums = [add(s, multiply(small, k, modulus * special_prime), modulus * special_prime) for s, k in zip(sums, digit)]
    by_key = [divide(s, special_prime, modulus * special_prime) for s in sums]
    return add(constant, by_key[0], modulus), add(linear, by_key[1], modulus)


def rescale(ciphertext, last_prime, modulus):
    return tuple(divide(polynomial, last_prime, modulus) for polynomial in ciphertext)


def divide(polynomial, divisor, modulus):
    """From x modulo Q p to the whole number nearest to x / p, modulo Q."""
    return [(x - centred(x % divisor, divisor)) // divisor % (modulus // divisor) for x in polynomial]


def add(left, right, modulus):
    return [(a + b) % modulus for a, b in zip(left, right)]


def centred(residue, modulus):
    return residue if residue <= modulus // 2 else residue - modulus


def from_residues(rows, primes):
    """The number below the product of the primes with these residues, coefficient by coefficient."""
    modulus = prod(primes)
    factors = [modulus // prime * pow(modulus // prime, -1, prime) for prime in primes]
    return [sum(f * residue for f, residue in zip(factors, column)) % modulus for column in zip(*rows)]
