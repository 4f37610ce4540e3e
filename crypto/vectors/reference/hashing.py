"""Labelled hashes, key derivation and trees (PROTOCOL 3.1 and 3.5)."""

import hashlib
import hmac

SUITE = b"sealed-sum/S1"


def little(number, length):
    return int(number).to_bytes(length, "little")


def labelled_hash(label, *parts):
    """H('label' || parts): the suite and a slash, the label after its length as u16, each part after its length
    as u64."""
    text = SUITE + b"/" + little(len(label), 2) + label.encode("ascii")
    for part in parts:
        text += little(len(part), 8) + part
    return hashlib.sha256(text).digest()


def derive_key(secret, label, *parts):
    """HKDF(secret, 'label' || parts): RFC 5869 with an empty salt and 32 bytes of output; info is the suite, the label
    and the parts, each after its length as u16."""
    extracted = hmac.digest(bytes(32), secret, "sha256")
    info = b"".join(little(len(piece), 2) + piece for piece in (SUITE, label.encode("ascii"), *parts))
    return hmac.digest(extracted, info + b"\x01", "sha256")


def authenticate(key, *parts):
    """HMAC of the parts, each after its length as u64."""
    return hmac.digest(key, b"".join(little(len(part), 8) + part for part in parts), "sha256")


def tree_root(leaves):
    """A leaf is H('leaf' || bytes), an inner node H('node' || left || right); a node without a sibling moves up."""
    level = [labelled_hash("leaf", leaf) for leaf in leaves]
    while len(level) > 1:
        pairs = [labelled_hash("node", *level[i : i + 2]) for i in range(0, len(level) - 1, 2)]
        level = pairs + level[len(pairs) * 2 :]
    return level[0]
