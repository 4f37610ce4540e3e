"""Keys and ciphertexts of CKKS as bytes (docs/PROTOCOL.md, "CKKS on the wire")."""

import struct

VERSION = 1
CIPHERTEXT, SEEDED_CIPHERTEXT, PUBLIC_KEY, RELINEARISATION_KEY = 1, 2, 3, 5


def polynomial(coefficients, primes):
    """Residues prime after prime, each in as many bits as the prime has, as one little-endian number a prime."""
    text = b""
    for prime in primes:
        bits = prime.bit_length()
        number = sum_of_shifted([c % prime for c in coefficients], bits)
        text += number.to_bytes(len(coefficients) * bits // 8, "little")
    return text


def sum_of_shifted(words, bits):
    """The sum of word i times 2^(bits i), by halves."""
    if len(words) == 1:
        return words[0]
    half = len(words) // 2
    return sum_of_shifted(words[:half], bits) | sum_of_shifted(words[half:], bits) << bits * half


def ciphertext(key_id, level, scale, parts, primes):
    text = bytes([VERSION, CIPHERTEXT]) + key_id + bytes([level]) + struct.pack("<d", scale)
    return text + b"".join(polynomial(part, primes) for part in parts)


def seeded_ciphertext(key_id, level, scale, seed, constant, primes):
    text = bytes([VERSION, SEEDED_CIPHERTEXT]) + key_id + bytes([level]) + struct.pack("<d", scale)
    return text + seed + polynomial(constant, primes)


def public_key(key_id, masked, uniform, primes):
    """Without a seed: the uniform polynomial first."""
    return bytes([VERSION, PUBLIC_KEY]) + key_id + polynomial(uniform, primes) + polynomial(masked, primes)


def relinearisation_key(key_id, digits, primes):
    """Without seeds: for each digit the uniform polynomial, then the masked one."""
    text = bytes([VERSION, RELINEARISATION_KEY]) + key_id
    return text + b"".join(polynomial(uniform, primes) + polynomial(masked, primes) for masked, uniform in digits)
