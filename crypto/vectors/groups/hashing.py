"""Labelled hashes, derived keys, trees."""

from reference import hashing


def hashes():
    cases = [
        ("m", []),
        ("m", [b""]),
        ("abc", [b"xy", b"", b"z"]),
        ("k", [bytes(range(32)), b"\x05", b"\x02", bytes(300)]),
    ]
    secret = bytes(range(100, 132))
    return {
        "secret": secret.hex(),
        "cases": [
            {
                "label": label,
                "parts": [part.hex() for part in parts],
                "labelled_hash": hashing.labelled_hash(label, *parts).hex(),
                "derived_key": hashing.derive_key(secret, label, *parts).hex(),
                "hmac": hashing.authenticate(secret, *parts).hex(),
            }
            for label, parts in cases
        ],
        # Leaf i of a tree is i + 1 bytes, all i.
        "trees": [
            {"leaves": count, "root": hashing.tree_root([bytes([i]) * (i + 1) for i in range(count)]).hex()}
            for count in (1, 2, 3, 4, 5, 6, 7, 11)
        ],
    }
