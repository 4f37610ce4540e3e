"""Long lists by their digest."""

import hashlib
import struct


def digest(words, code="<Q"):
    """A long list by its length, the SHA-256 of its little-endian words, and both ends."""
    text = b"".join(struct.pack(code, word) for word in words)
    return {
        "count": len(words),
        "sha256": hashlib.sha256(text).hexdigest(),
        "first": list(words[:4]),
        "last": list(words[-4:]),
    }


def signed(words):
    return digest(words, "<q")


def shares_digest(words):
    return digest(words, "<H")


def in_bytes(text):
    return digest(list(text), "<B")
