#!/usr/bin/env python3
"""Writes the known answers beside this script, or with --check compares them with what is there.

Everything is computed by the package `reference`, from docs/PROTOCOL.md; no Rust code is run or read.
"""

import hashlib
import json
import sys
from pathlib import Path

sys.dont_write_bytecode = True

from groups import GROUPS  # noqa: E402


def render(value, indent=0):
    """JSON with a line for each member of an object, and lists of plain values on one line."""
    inner = " " * (indent + 1)
    if isinstance(value, dict):
        lines = [f"{inner}{json.dumps(key)}: {render(member, indent + 1)}" for key, member in value.items()]
        return "{\n" + ",\n".join(lines) + "\n" + " " * indent + "}"
    if isinstance(value, list) and any(isinstance(member, (dict, list)) for member in value):
        lines = [inner + render(member, indent + 1) for member in value]
        return "[\n" + ",\n".join(lines) + "\n" + " " * indent + "]"
    return json.dumps(value)


def main():
    check, folder, differing = sys.argv[1:] == ["--check"], Path(__file__).parent, []
    if sys.argv[1:] and not check:
        sys.exit(f"usage: {sys.argv[0]} [--check]")
    for name, make in GROUPS.items():
        text, path = render(make()) + "\n", folder / f"{name}.json"
        if not check:
            path.write_text(text)
        elif not path.exists() or path.read_text() != text:
            differing.append(path.name)
        print(f"{path.name}: SHA-256 {hashlib.sha256(text.encode()).hexdigest()[:16]}")
    if differing:
        sys.exit(f"these files are not what this script makes: {', '.join(differing)}")


if __name__ == "__main__":
    main()
