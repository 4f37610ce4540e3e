"""Primes and roots of unity (PROTOCOL 3.1 and 5.3), and SEAL's rule for a chain of primes."""

# PROTOCOL 3.1.
SUM_DEGREE = 4096
SUM_MODULUS = 2**62 - 2**16 + 1
SHARE_MODULUS = 65521

# PROTOCOL 5.3: the data primes, then the special prime.
CKKS_DEGREE = 8192
CKKS_PRIMES = {
    "hardened": [1152921504606830593, 1099511480321, 1152921504606748673],
    "study": [1152921504606748673, 1099510890497, 1099511480321, 1152921504606830593],
}
CKKS_LOG2_SCALE = {"hardened": 45, "study": 40}


def is_prime(number):
    """Miller and Rabin's test with the bases that decide every number below 3.3e24 (Sorenson and Webster 2015)."""
    bases = [2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41]
    if number < 2 or any(number % base == 0 for base in bases):
        return number in bases
    odd, twos = number - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    for base in bases:
        power = pow(base, odd, number)
        if power in (1, number - 1):
            continue
        for _ in range(twos - 1):
            power = power * power % number
            if power == number - 1:
                break
        else:
            return False
    return True


def smallest_root(degree, prime):
    """The numerically smallest primitive 2N-th root of unity: SEAL's psi.

    The primitive 2N-th roots are the odd powers of any one of them, and a number whose N-th power is -1 is one.
    """
    generator = 2
    while pow(generator, (prime - 1) // 2, prime) == 1:
        generator += 1
    root = pow(generator, (prime - 1) // (2 * degree), prime)
    assert pow(root, degree, prime) == prime - 1
    square, power, smallest = root * root % prime, root, root
    for _ in range(degree):
        smallest = min(smallest, power)
        power = power * square % prime
    return smallest


def seal_chain(degree, bit_sizes):
    """SEAL's `CoeffModulus::Create`: for each size the largest primes below 2^size that are 1 mod 2N, handed out
    smallest first in the order of the list."""
    found = {}
    for bits in set(bit_sizes):
        candidate, primes = 2**bits - 2 * degree + 1, []
        while len(primes) < bit_sizes.count(bits):
            if candidate < 2 ** (bits - 1):
                raise ValueError(f"too few primes of {bits} bits")
            if is_prime(candidate):
                primes.append(candidate)
            candidate -= 2 * degree
        found[bits] = primes
    return [found[bits].pop() for bits in bit_sizes]
