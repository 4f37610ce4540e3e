"""Encoding, and a whole encrypted product."""

from fractions import Fraction
from math import log2, prod

from reference import ckks, primes, streams, wire
from reference.embedding import Embedding
from reference.streams import SplitMix

from .digests import digest, in_bytes, signed


def fine_values(source, count):
    """Multiples of 2^-18 in [-4, 4): one word of SplitMix each."""
    return [((source.word() >> 43) - 2**20) / 2**18 for _ in range(count)]


def some_slots(values):
    return [[slot, values[slot]] for slot in (0, 1, 2, 3, 100, 1000, 2047, 2048, 3000, 4094, 4095)]


def encodings():
    embedding = Embedding(primes.CKKS_DEGREE)
    cases = []
    for seed, count in ((1, 4096), (7, 4095), (3, 9), (4, 1)):
        values = fine_values(SplitMix(seed), count)
        for log2_scale in (30, 40, 45):
            exact = embedding.encode(values, 2**log2_scale)
            coefficients = [round(c) for c in exact]
            # How far the nearest coefficient is from where rounding turns: an implementation in floats whose errors
            # are smaller gets every coefficient right.
            margin = min(abs(c % 1 - Fraction(1, 2)) for c in exact)
            tolerance = int(log2_scale > 40)
            # Few values make small coefficients, whose errors are smaller too.
            assert tolerance or margin > 2.0 ** (log2_scale - (55 if count > 1000 else 60))
            cases.append(
                {
                    "seed": seed,
                    "values": count,
                    "log2_scale": log2_scale,
                    "first_values": values[:4],
                    "tolerance": tolerance,
                    "log2_margin": round(log2(margin), 2),
                    "coefficients": signed(coefficients),
                    "first_coefficients": coefficients[:64],
                    "decoded": some_slots(embedding.decode(coefficients, 2**log2_scale)),
                }
            )
    # Not the encoding of anything: a real polynomial has complex slots, whose real parts are decoded.
    source = SplitMix(5)
    coefficients = [(source.word() >> 24) - 2**39 for _ in range(primes.CKKS_DEGREE)]
    decoded = some_slots(embedding.decode(coefficients, 2**40))
    return {"degree": primes.CKKS_DEGREE, "cases": cases, "any_polynomial": {"seed": 5, "log2_scale": 40, "decoded": decoded}}


def residues(polynomial, moduli):
    """The words of a polynomial modulo one prime after another."""
    return digest([coefficient % prime for prime in moduli for coefficient in polynomial])


def ckks_product(name):
    """All inputs from SplitMix: ternary `word mod 3 - 1`; errors 42 coins of a word; uniform prime after prime, each
    coefficient two words modulo it; messages coefficients `(word >> shift) - 2^(63 - shift)` for i < N/2, the middle one 0,
    and c_(N-i) = -c_i."""
    degree, scale = primes.CKKS_DEGREE, 2 ** primes.CKKS_LOG2_SCALE[name]
    *data_primes, special_prime = primes.CKKS_PRIMES[name]
    all_primes, modulus = [*data_primes, special_prime], prod(data_primes)

    def ternary(seed):
        source = SplitMix(seed)
        return [source.word() % 3 - 1 for _ in range(degree)]

    def error(seed):
        source = SplitMix(seed)
        return [streams.binomial_of(source.word(), 21) for _ in range(degree)]

    def uniform(seed, moduli):
        source = SplitMix(seed)
        return ckks.from_residues([[source.below(prime) for _ in range(degree)] for prime in moduli], moduli)

    def message(seed, shift):
        source = SplitMix(seed)
        half = [(source.word() >> shift) - 2 ** (63 - shift) for _ in range(degree // 2)]
        return half + [0] + [-c for c in half[:0:-1]]

    # Slots of standard deviation 2 or so.
    shift = 64 - primes.CKKS_LOG2_SCALE[name] + 4
    left, right = message(20, shift), message(21, shift)
    keys = ckks.Keys(data_primes, special_prime, ternary(10))
    public = keys.public_key(uniform(11, all_primes), error(12))
    relinearisation = keys.relinearisation_key(
        [uniform(30 + d, all_primes) for d in range(len(data_primes))],
        [error(40 + d) for d in range(len(data_primes))],
    )
    # The public polynomial of a seed: modulo the k-th prime uniform from stream k, as coefficients.
    seed = SplitMix(13).random_bytes()
    expanded = [streams.uniform(seed, k, prime, degree) for k, prime in enumerate(data_primes)]
    symmetric = keys.encrypt_symmetric(left, ckks.from_residues(expanded, data_primes), error(14))
    asymmetric = ckks.encrypt(public, right, ternary(15), error(16), error(17), modulus)
    product = ckks.tensor(symmetric, asymmetric, modulus)
    linear = ckks.relinearise(product, relinearisation, data_primes, special_prime)
    last, below = data_primes[-1], modulus // data_primes[-1]
    rescaled = ckks.rescale(linear, last, modulus)
    decrypted = keys.decrypt(rescaled, below)

    key_id, top = bytes(range(16)), len(data_primes) - 1
    embedding = Embedding(degree)
    exact_scale = Fraction(scale * scale, last)
    slots = embedding.decode(decrypted, exact_scale)
    factors = embedding.decode(left, scale), embedding.decode(right, scale)
    worst = max(abs(a * b - slot) for a, b, slot in zip(*factors, slots))
    # The noise of the public key, of standard deviation 2^14.4 in a slot, times a slot of the other factor.
    assert worst * scale < 2**21, log2(worst)
    return {
        "profile": name,
        "message_shift": shift,
        "secret": signed(keys.secret),
        "left": signed(left),
        "right": signed(right),
        "left_slots": some_slots(factors[0]),
        "right_slots": some_slots(factors[1]),
        "public_key": residues(public[0], all_primes),
        "relinearisation_key": [residues(masked, all_primes) for masked, _ in relinearisation],
        "seed": seed.hex(),
        "symmetric": [residues(part, data_primes) for part in symmetric],
        "asymmetric": [residues(part, data_primes) for part in asymmetric],
        "product": [residues(part, data_primes) for part in product],
        "relinearised": [residues(part, data_primes) for part in linear],
        "rescaled": [residues(part, data_primes[:-1]) for part in rescaled],
        "rescaled_scale": float(exact_scale),
        "decrypted": signed(decrypted),
        "decrypted_slots": some_slots(slots),
        "log2_worst_error": round(log2(worst), 2),
        "wire": {
            "key_id": key_id.hex(),
            "seeded_ciphertext": in_bytes(
                wire.seeded_ciphertext(key_id, top, float(scale), seed, symmetric[0], data_primes)
            ),
            "ciphertext": in_bytes(wire.ciphertext(key_id, top, float(scale), asymmetric, data_primes)),
            "product": in_bytes(wire.ciphertext(key_id, top - 1, float(exact_scale), rescaled, data_primes[:-1])),
            "public_key": in_bytes(wire.public_key(key_id, *public, all_primes)),
            "relinearisation_key": in_bytes(wire.relinearisation_key(key_id, relinearisation, all_primes)),
        },
    }


def ckks_products():
    return {"cases": [ckks_product(name) for name in primes.CKKS_PRIMES]}
