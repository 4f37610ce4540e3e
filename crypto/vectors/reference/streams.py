"""ChaCha20 as a stream of words, and the samplers that read it (PROTOCOL 3.1 and 3.10)."""

import numpy as np

from .primes import SHARE_MODULUS

BLOCKS_AT_ONCE = 512


def chacha20_blocks(key, stream, first, count):
    """Blocks `first` to `first + count` of prg(key, stream), as bytes: RFC 8439's rounds over Bernstein's original
    state, whose counter and nonce have 64 bits each; the nonce is the stream number."""
    counters = np.arange(first, first + count, dtype=np.uint64)
    low = (counters & np.uint64(0xFFFFFFFF)).astype(np.uint32)
    high = (counters >> np.uint64(32)).astype(np.uint32)
    constant = lambda word: np.full(count, word, dtype=np.uint32)
    start = [constant(word) for word in np.frombuffer(b"expand 32-byte k" + key, dtype="<u4")]
    start += [low, high, constant(stream & 0xFFFFFFFF), constant(stream >> 32)]
    state = [row.copy() for row in start]

    def rotate(word, bits):
        return (word << np.uint32(bits)) | (word >> np.uint32(32 - bits))

    def quarter_round(a, b, c, d):
        for into, by, turned, bits in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
            state[into] = state[into] + state[by]
            state[turned] = rotate(state[turned] ^ state[into], bits)

    for _ in range(10):
        for column in range(4):
            quarter_round(column, column + 4, column + 8, column + 12)
        for column in range(4):
            quarter_round(column, 4 + (column + 1) % 4, 8 + (column + 2) % 4, 12 + (column + 3) % 4)
    words = np.stack([mixed + row for mixed, row in zip(state, start)], axis=1)
    return words.astype("<u4").tobytes()


def pieces(key, stream, piece):
    """The stream without end as little-endian pieces of the numpy type `piece`, as Python's integers."""
    first = 0
    while True:
        block = chacha20_blocks(key, stream, first, BLOCKS_AT_ONCE)
        yield from np.frombuffer(block, dtype=piece).tolist()
        first += BLOCKS_AT_ONCE


def words(key, stream, count):
    """The first u64 words of prg(key, stream)."""
    source = pieces(key, stream, "<u8")
    return [next(source) for _ in range(count)]


def below(source, mask, bound, count):
    """The first `count` pieces, each cut by `mask`, that are below `bound`; the others are skipped."""
    accepted = []
    while len(accepted) < count:
        piece = next(source) & mask
        if piece < bound:
            accepted.append(piece)
    return accepted


def uniform(key, stream, modulus, count):
    """Uniform below a modulus: words cut to its bits."""
    return below(pieces(key, stream, "<u8"), 2 ** modulus.bit_length() - 1, modulus, count)


def uniform_share_field(key, stream, count):
    """Uniform modulo p: u16 pieces."""
    return below(pieces(key, stream, "<u2"), 0xFFFF, SHARE_MODULUS, count)


def uniform_tag_field(key, stream, count):
    """Uniform modulo 2^31 - 1: the low 31 bits of u32 pieces."""
    return below(pieces(key, stream, "<u4"), 2**31 - 1, 2**31 - 1, count)


def binomial_of(word, half_width=32):
    """CBD: the ones among the low `2 half_width` bits, less `half_width`."""
    return (word & (2 ** (2 * half_width) - 1)).bit_count() - half_width


def binomial(key, stream, count, half_width=32):
    return [binomial_of(word, half_width) for word in words(key, stream, count)]


def ternary_of(word):
    """The integer part of 3 word / 2^64, less 1."""
    return (3 * word >> 64) - 1


class SplitMix:
    """Steele, Lea and Flood's SplitMix64 (OOPSLA 2014): the inputs of vectors whose source does not matter."""

    def __init__(self, seed):
        self.state = seed

    def word(self):
        self.state = (self.state + 0x9E3779B97F4A7C15) % 2**64
        mixed = self.state
        mixed = (mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9 % 2**64
        mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EB % 2**64
        return mixed ^ mixed >> 31

    def below(self, bound):
        """Two words, the first the higher, modulo `bound`."""
        high = self.word()
        return (high << 64 | self.word()) % bound

    def random_bytes(self):
        """Four words, little-endian."""
        return b"".join(self.word().to_bytes(8, "little") for _ in range(4))
