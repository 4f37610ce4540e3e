"""Primes, samplers and products of polynomials."""

from reference import negacyclic, primes, streams
from reference.streams import SplitMix

from .digests import digest, signed

ALL_CKKS_PRIMES = sorted({prime for chain in primes.CKKS_PRIMES.values() for prime in chain})


def prime_numbers():
    rings = [("sealed_sum", primes.SUM_DEGREE, primes.SUM_MODULUS)]
    rings += [("ckks", primes.CKKS_DEGREE, prime) for prime in ALL_CKKS_PRIMES]
    for _, degree, prime in rings:
        assert primes.is_prime(prime) and prime % (2 * degree) == 1
    assert primes.is_prime(primes.SHARE_MODULUS) and not any(map(primes.is_prime, range(65522, 65536)))
    chains = [
        (8192, [60, 40, 40, 60]),
        (8192, [60, 40, 60]),
        (8192, [40, 50, 40, 50]),
        (4096, [36, 33, 36]),
        (16384, [60, 50, 50, 50, 60]),
    ]
    assert primes.seal_chain(*chains[0]) == primes.CKKS_PRIMES["study"]
    return {
        "rings": [
            {"ring": ring, "degree": degree, "prime": prime, "smallest_root": primes.smallest_root(degree, prime)}
            for ring, degree, prime in rings
        ],
        "profiles": {
            name: {"data_primes": chain[:-1], "special_prime": chain[-1], "log2_scale": primes.CKKS_LOG2_SCALE[name]}
            for name, chain in primes.CKKS_PRIMES.items()
        },
        "share_modulus": primes.SHARE_MODULUS,
        "seal_chains": [
            {"degree": degree, "bit_sizes": sizes, "primes": primes.seal_chain(degree, sizes)}
            for degree, sizes in chains
        ],
        # Neighbours of the moduli that are 1 mod 2^14 too, and strong pseudoprimes.
        "composites": [
            number
            for number in [3215031751, 3825123056546413051, 2**62 - 2**17 + 1]
            + [primes.SUM_MODULUS - 2**14, primes.CKKS_PRIMES["study"][0] - 2**14, primes.CKKS_PRIMES["study"][1] + 2**14]
            if not primes.is_prime(number)
        ],
    }


def samplers():
    key = bytes(range(32))
    extremes = [0, 2**64 - 1, 1, 2**63, 2**42 - 1, 2**42, 0x0123456789ABCDEF, 0xAAAAAAAAAAAAAAAA]
    uniform = lambda modulus, count: streams.uniform(key, 3, modulus, count)
    ternary = [streams.ternary_of(word) for word in streams.words(key, 6, 8192)]
    return {
        "key": key.hex(),
        "streams": [
            {"stream": stream, "words": digest(streams.words(key, stream, 1000))} for stream in (0, 1, 2**32, 2**64 - 1)
        ],
        # Stream 3, as many as the ring has coefficients. 2^32 + 15 rejects every second word.
        "uniform": [
            {"modulus": modulus, "words": digest(uniform(modulus, 4096))}
            for modulus in [primes.SUM_MODULUS, 2**32 + 15, *ALL_CKKS_PRIMES]
        ],
        "binomial_of_words": [
            {"word": word, "of_64_coins": streams.binomial_of(word, 32), "of_42_coins": streams.binomial_of(word, 21)}
            for word in extremes
        ],
        # Stream 4 of 64 coins, stream 5 of 42.
        "binomial_64": signed(streams.binomial(key, 4, 4096, 32)),
        "binomial_42": signed(streams.binomial(key, 5, 8192, 21)),
        # Stream 6.
        "ternary": signed(ternary),
    }


def products():
    """left and right: words of SplitMix, high and low, modulo the prime; and all coefficients at their largest."""
    cases = []
    rings = [(16, p) for p in [primes.SUM_MODULUS, *ALL_CKKS_PRIMES]]
    rings += [(primes.SUM_DEGREE, primes.SUM_MODULUS)] + [(primes.CKKS_DEGREE, p) for p in ALL_CKKS_PRIMES]
    for seed, (degree, prime) in enumerate(rings, start=1):
        source = SplitMix(seed)
        left = [source.below(prime) for _ in range(degree)]
        right = [source.below(prime) for _ in range(degree)]
        root = primes.smallest_root(degree, prime)
        product = negacyclic.schoolbook(left, right, prime)
        assert product == negacyclic.multiply(left, right, prime)
        assert product == negacyclic.multiply_by_transform(left, right, root, prime)
        largest = [prime - 1] * degree
        case = {"seed": seed, "degree": degree, "prime": prime, "smallest_root": root, "product": digest(product)}
        if degree == 16:
            case |= {"left": left, "right": right, "every_word": product}
        case["square_of_largest"] = digest(negacyclic.multiply(largest, largest, prime))
        case["seal_evaluations_of_left"] = digest(negacyclic.evaluate(left, root, prime))
        cases.append(case)
    return {"cases": cases}
