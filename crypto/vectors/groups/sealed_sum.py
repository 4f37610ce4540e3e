"""The parts of a sealed sum, and two whole ones."""

from reference import hashing, primes, quantise, sealed_sum, shamir, streams
from reference.streams import SplitMix

from .digests import digest, shares_digest, signed


def rosters():
    rows = []
    for n in range(2, 128):
        bits = [quantise.value_bits(24, n), quantise.value_bits(16, n)]
        rows.append([n, quantise.threshold(n), quantise.min_contributors(n), *bits])
    return {"columns": ["n", "t", "m_min", "B of 24-bit fields", "B of 16-bit fields"], "rows": rows}


def update_values(source, count):
    """Multiples of 2^-20 in [-1, 1): one word of SplitMix each."""
    return [((source.word() >> 43) - 2**20) / 2**20 for _ in range(count)]


def quantised():
    cases = []
    for seed, (field_bits, joined, clips, weight, counters) in enumerate(
        [
            (24, 2, [(8000, 0.9375), (500, 2.0)], (1, 1), [(1, 3), (70000, 3)]),
            (24, 10, [(100, 0.0625), (8086, 1.0)], (3, 4), [(1, 3), (2**24, 3)]),
            (24, 127, [(8189, 0.75)], (2, 12), [(1, 3)]),
            (16, 10, [(12288, 0.9375)], (6, 6), [(1, 1), (2**56 - 1, 7), (2**63, 7)]),
            (16, 100, [], (1, 1), [(1, 3), (255, 1), (256, 1)]),
        ],
        start=50,
    ):
        values = update_values(SplitMix(seed), sum(length for length, _ in clips))
        fields, cut_values, cut_counters = quantise.quantise(values, clips, weight, counters, field_bits, joined)
        words = quantise.pack(fields, field_bits)
        assert quantise.unpack(words, field_bits)[: len(fields)] == fields
        cases.append(
            {
                "seed": seed,
                "field_bits": field_bits,
                "joined": joined,
                "clips": [list(clip) for clip in clips],
                "weight": list(weight),
                "counters": [list(counter) for counter in counters],
                "words": digest(words),
                "cut_values": cut_values,
                "cut_counters": cut_counters,
            }
        )
    # Halves are rounded to the even number; the clip of 2^22 - 1 makes a step of 1 when two have joined.
    values = [0.0, 0.5, 1.5, 2.5, -0.5, -1.5, 1e300, -4194304.0, 4194303.5, 3.25]
    fields, cut_values, _ = quantise.quantise(values, [(10, 4194303.0)], (1, 1), [(1, 3)], 24, 2)
    return {
        "cases": cases,
        "rounding": {"values": values, "clip": 4194303.0, "joined": 2, "fields": fields[:10], "cut_values": cut_values},
    }


def sharing():
    """Secrets: 64-coin binomials of stream 0 of `secret_key`; hospitals 1 to n; polynomial from `key`."""
    secret_key, key = bytes([11]) * 32, bytes([12]) * 32
    secret = streams.binomial(secret_key, 0, primes.SUM_DEGREE)
    cases = []
    for t, n in ((2, 2), (2, 3), (7, 10), (67, 100)):
        polynomial = [secret] + [streams.uniform_share_field(key, power, primes.SUM_DEGREE) for power in range(1, t)]
        shares = {x: shamir.share(polynomial, x) for x in range(1, n + 1)}
        chosen = list(range(n, n - t, -1))
        assert shamir.rebuild({x: shares[x] for x in chosen}) == secret
        cases.append(
            {
                "threshold": t,
                "hospitals": n,
                "shares": [[x, shares_digest(shares[x])["sha256"]] for x in (1, 2, n)],
                "all_shares": shares_digest([element for share in shares.values() for element in share]),
                "chosen": chosen,
                "lagrange_at_zero": shamir.lagrange_at_zero(chosen),
            }
        )
    return {"secret_key": secret_key.hex(), "key": key.hex(), "secret": signed(secret), "cases": cases}


def whole_sum(seed, field_bits, joined, contributors, answering, clips, digits):
    source = SplitMix(seed)
    header_hash, group_key = source.random_bytes(), source.random_bytes()
    threshold = quantise.threshold(len(joined))
    bits = quantise.value_bits(field_bits, len(joined))
    length, largest_weight = sum(count for count, _ in clips), max(weight for _, weight in contributors)
    hospitals, sealed = [], []
    for hospital, weight in contributors:
        attempt, own_seed, manifest_hash = source.word() % 256, source.random_bytes(), source.random_bytes()
        values = update_values(source, length)
        counters = [1] + [source.word() % 256**places for places in digits[1:]]
        fields, cut_values, _ = quantise.quantise(
            values, clips, (weight, largest_weight), list(zip(counters, digits)), field_bits, len(joined)
        )
        message = quantise.pack(fields, field_bits)
        chunks, shares = sealed_sum.seal(
            header_hash, group_key, hospital, attempt, own_seed, fields, message, threshold, joined
        )
        sealed.append((chunks, shares))
        hospitals.append(
            {
                "hospital": hospital,
                "weight": weight,
                "attempt": attempt,
                "seed": own_seed.hex(),
                "manifest_hash": manifest_hash.hex(),
                "counters": counters,
                "cut_values": cut_values,
                "message": digest(message),
                "chunks": digest(chunks),
                "chunks_root": hashing.tree_root(
                    [sealed_sum.to_bytes(chunks[at : at + 4096], 8) for at in range(0, len(chunks), 4096)]
                ).hex(),
                "tag_chunk": digest(chunks[-4096:]),
                "shares": [shares_digest(share) for share in shares.values()],
                "dealer_answers": [sealed_sum.dealer_answer(share, manifest_hash) for share in shares.values()],
            }
        )

    summed = sealed_sum.add([chunks for chunks, _ in sealed])
    vectors = {x: sealed_sum.unlock_vector([shares[x] for _, shares in sealed]) for x in joined}
    answers = {x: vectors[x] for x in answering}
    messages, noises, secret = sealed_sum.open_sum(header_hash, summed, answers, len(contributors))
    opened = quantise.unpack(messages[:-4096], field_bits)
    total_fields = length + sum(digits)
    assert not any(opened[total_fields:]) and not any(messages[-4094:])
    tags = sealed_sum.tags(group_key, header_hash, opened[:total_fields])
    assert tags == [tag % sealed_sum.TAG_MODULUS for tag in messages[-4096:-4094]]
    counters, place = [], length
    for places in digits:
        counters.append(sum(digit << 8 * k for k, digit in enumerate(opened[place : place + places])))
        place += places
    assert counters[0] == len(contributors)
    means = quantise.mean(
        opened[:length], clips, len(contributors), largest_weight, sum(weight for _, weight in contributors), bits
    )
    next_clips, place = [], 0
    for count, clip in clips:
        next_clips.append(quantise.next_clip(clip, len(contributors), means[place : place + count]))
        place += count
    return {
        "seed": seed,
        "header_hash": header_hash.hex(),
        "group_key": group_key.hex(),
        "field_bits": field_bits,
        "joined": joined,
        "threshold": threshold,
        "clips": [list(clip) for clip in clips],
        "digits": digits,
        "masks": [digest(sealed_sum.mask(header_hash, chunk)) for chunk in range(len(summed) // 4096)],
        "contributions": hospitals,
        "sum": digest(summed),
        "sum_root": hashing.tree_root(
            [sealed_sum.to_bytes(summed[at : at + 4096], 8) for at in range(0, len(summed), 4096)]
        ).hex(),
        "unlock_vectors": [[x, shares_digest(vector)] for x, vector in vectors.items()],
        "answering": answering,
        "secret": signed(secret),
        "values": digest(opened[:length]),
        "counters": counters,
        "largest_noise": max(map(abs, noises)),
        "mean": {"first": means[:8], "sha256": digest(means, "<d")["sha256"]},
        "next_clips": next_clips,
    }


def sums():
    return {
        "cases": [
            # Three of three, the second of whom is away when the sum is opened.
            whole_sum(60, 24, [2, 5, 127], [(2, 1), (5, 3), (127, 4)], [2, 127], [(5000, 0.9375), (3200, 0.25)], [3, 2]),
            # Three of four; the fourth only answers. Three fields, and no values but counters in the last chunk.
            whole_sum(61, 16, [1, 2, 3, 4], [(1, 1), (2, 1), (4, 1)], [2, 3, 4], [(12288, 1.0)], [3, 7]),
        ]
    }
