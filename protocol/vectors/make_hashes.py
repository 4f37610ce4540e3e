#!/usr/bin/env python3
"""Writes hashes.json beside this file: the hashes and keys of PROTOCOL.md 3.2 to 3.7 that are made of several parts.

Only hashlib and hmac are used, and the text of PROTOCOL.md: labelled hash, HKDF and HMAC as in 3.1. Inputs are bytes of one kind,
numbers little-endian. With --check it compares instead of writing.
"""

import hashlib
import hmac
import json
import pathlib
import struct
import sys

FILE = pathlib.Path(__file__).with_name("hashes.json")
SUITE = b"sealed-sum/S1"


def labelled(label, *parts):
    label = label.encode()
    text = SUITE + b"/" + struct.pack("<H", len(label)) + label
    return hashlib.sha256(text + b"".join(struct.pack("<Q", len(part)) + part for part in parts)).digest()


def derived(key, label, *parts):
    """HKDF-SHA-256 (RFC 5869), no salt, one block."""
    pieces = [SUITE, label.encode(), *parts]
    info = b"".join(struct.pack("<H", len(piece)) + piece for piece in pieces)
    extracted = hmac.digest(bytes(32), key, "sha256")
    return hmac.digest(extracted, info + b"\x01", "sha256")


def keyed(key, *parts):
    return hmac.digest(key, b"".join(struct.pack("<Q", len(part)) + part for part in parts), "sha256")


def round_open():
    """RoundOpen in canonical form, field by field as in 3.3."""
    return b"".join(
        [
            bytes([5]),  # version of the wire
            struct.pack("<H", 1),  # suite
            b"\x5e" * 16,  # session
            b"\x01" * 32,  # run
            bytes([1]),  # purpose: update
            struct.pack("<I", 7),  # round
            b"\x02" * 32,  # T_{r-1}
            b"\x03" * 32,  # joined_set_hash
            b"\x04" * 32,  # gid
            b"\x05" * 32,  # model_hash
            b"\x06" * 32,  # layout_hash
            struct.pack("<I", 1000),  # d
            struct.pack("<I", 2) + bytes([3, 4]),  # digits of the counters
            bytes([2, 24, 22]),  # FIELDS, FIELD_BITS, B
            struct.pack("<I", 1),  # omega_max
            bytes([2, 3, 3]),  # clip rule, t, m_min
            struct.pack("<I", 30),  # silence
            b"\x07" * 32,  # nonce
        ]
    )


def contribution_manifest(header):
    """M_i in canonical form (3.5)."""
    return header + bytes([2, 1]) + b"\x11" * 32 + b"\x12" * 32 + b"\x13" * 32


def model_hash(values, moments, clips, null_steps):
    """3.3: no labelled hash, but one with a form of its own."""
    text = SUITE + b"/model\0" + struct.pack("<Q", len(values)) + struct.pack(f"<{len(values)}f", *values)
    for moment in moments:
        text += struct.pack("<Q", len(moment)) + struct.pack(f"<{len(moment)}f", *moment)
    text += struct.pack("<Q", len(clips)) + struct.pack(f"<{len(clips)}d", *clips)
    return hashlib.sha256(text + struct.pack("<I", null_steps)).digest()


def vectors():
    group, pair = b"\x21" * 32, b"\x22" * 32
    ratchet = [pair]
    for number in range(1, 4):
        ratchet.append(derived(ratchet[-1], "r", struct.pack("<I", number)))
    header = round_open()
    hh = labelled("round-open", header)
    manifest = contribution_manifest(hh)
    d_2 = labelled("contribution", manifest)
    uh = labelled("U", hh, bytes([1]) + b"\x14" * 32 + bytes([2]) + d_2)
    t_before, sum_root, model = b"\x02" * 32, b"\x15" * 32, b"\x16" * 32
    clips = [0.5, 0.25]
    return {
        "gid": labelled("gid", group),
        "ratchet": ratchet,
        "round_open": header,
        "hh": hh,
        "contribution_manifest": manifest,
        "contribution_digest": d_2,
        "uh": uh,
        "t_r": labelled("T", t_before, hh, uh, sum_root, model),
        "t_r_of_a_null_step": labelled("T", t_before, hh, uh, bytes(32), model),
        "outcome_name": labelled("outcome", hh, uh),
        "commit": keyed(group, model, struct.pack("<I", 7), struct.pack("<2d", *clips)),
        "unlock_key": derived(group, "unlock", t_before, hh, uh, bytes([3])),
        "model_hash": model_hash([1.0, -2.5, 0.0], [], clips, 0),
        "model_hash_with_moments": model_hash([1.0, -2.5, 0.0], [[0.5] * 3, [2.0] * 3], clips, 0),
        "model_hash_after_two_null_steps": model_hash([1.0, -2.5, 0.0], [], clips, 2),
        "stream_after_two_null_steps": derived(b"\x23" * 32, "null-steps", struct.pack("<I", 2)),
    }


def rendered():
    def text(value):
        return [text(part) for part in value] if isinstance(value, list) else value.hex()

    return json.dumps({name: text(value) for name, value in vectors().items()}, indent=1) + "\n"


def main():
    if sys.argv[1:] == ["--check"]:
        if FILE.read_text() != rendered():
            sys.exit(f"{FILE.name} is not what this program computes")
    else:
        FILE.write_text(rendered())


if __name__ == "__main__":
    main()
