"""One hospital's contribution, the coordinator's sum and its opening (PROTOCOL 3.3, 3.5, 3.7 and 3.10)."""

import numpy as np

from . import shamir
from .hashing import derive_key, labelled_hash, little
from .negacyclic import multiply
from .primes import SHARE_MODULUS, SUM_DEGREE as N, SUM_MODULUS as Q
from .streams import binomial, uniform, uniform_share_field, uniform_tag_field, words

DELTA = 2**13
TAG_MODULUS = 2**31 - 1
TAGS = 2
CHECKS = 8


def to_bytes(numbers, width):
    return b"".join(little(number, width) for number in numbers)


def mask(header_hash, chunk):
    """a_j."""
    return uniform(derive_key(header_hash, "a"), chunk, Q, N)


def tags(group_key, header_hash, fields):
    """tau^(v) = sum over k of rho^(v)_k u_k modulo 2^31 - 1, over all field values: values, then digits."""
    key = derive_key(group_key, "tag", header_hash)
    rows = (uniform_tag_field(key, v, len(fields)) for v in range(1, TAGS + 1))
    return [sum(rho * u for rho, u in zip(row, fields)) % TAG_MODULUS for row in rows]


def seal(header_hash, group_key, hospital, attempt, seed, fields, message, threshold, joined):
    """The chunks, the tag's last, and a share for each recipient: N elements and 8 of the dealer check."""
    message_hash = labelled_hash("m", to_bytes(message, 8))
    key = derive_key(seed, "k", header_hash, little(hospital, 1), little(attempt, 1), message_hash)
    purpose = {label: derive_key(key, label) for label in ("s", "e", "R", "g", "pad")}

    padding = [word & 0x3FF for word in words(purpose["pad"], 0, TAGS)]
    tag = [tau + TAG_MODULUS * pad for tau, pad in zip(tags(group_key, header_hash, fields), padding)]
    message = message + tag + [0] * (N - TAGS)

    secret = binomial(purpose["s"], 0, N)
    chunks = []
    for chunk in range(len(message) // N):
        product = multiply(mask(header_hash, chunk), secret, Q)
        noise = binomial(purpose["e"], chunk, N)
        payload = message[chunk * N : (chunk + 1) * N]
        chunks += [(b + DELTA * m + e) % Q for b, m, e in zip(product, payload, noise)]

    masking = [secret] + [uniform_share_field(purpose["R"], power, N) for power in range(1, threshold)]
    checking = [uniform_share_field(purpose["g"], power, CHECKS) for power in range(threshold)]
    shares = {x: shamir.share(masking, x) + shamir.share(checking, x) for x in joined}
    return chunks, shares


def add(contributions):
    return [sum(column) % Q for column in zip(*contributions)]


def unlock_vector(shares):
    """What one hospital answers: the sum of the shares that it holds, without the elements of the dealer check."""
    return [sum(column) % SHARE_MODULUS for column in zip(*(share[:N] for share in shares))]


def dealer_answer(share, manifest_hash):
    """z_row = sum over k of rho[k][row] share[k] + g_row."""
    rho = uniform_share_field(derive_key(manifest_hash, "rho"), 0, N * CHECKS)
    combined = np.array(share[:N]) @ np.array(rho).reshape(N, CHECKS)
    return [int(z + g) % SHARE_MODULUS for z, g in zip(combined, share[N:])]


def open_sum(header_hash, summed, answers, contributors):
    """The message coefficients and the noise of the sum, from {point: unlock vector}, and the summed secret."""
    secret = shamir.rebuild(answers)
    assert all(abs(s) <= 32 * contributors for s in secret)
    messages, noises = [], []
    for chunk in range(len(summed) // N):
        product = multiply(mask(header_hash, chunk), secret, Q)
        for total, masked in zip(summed[chunk * N : (chunk + 1) * N], product):
            noisy = (total - masked + DELTA // 2) % Q
            messages.append(noisy >> 13)
            noises.append((noisy & DELTA - 1) - DELTA // 2)
    assert all(m < 2**48 for m in messages) and all(abs(e) <= 32 * contributors for e in noises)
    return messages, noises, secret
