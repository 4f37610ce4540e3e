#!/usr/bin/env python3
"""Writes strategies.json beside this file: what each strategy makes of the same means, round by round (needs numpy).

The formulas are those of the papers: algorithm 2 of Reddi et al. 2021 (arXiv 2003.00295) for FedAdam and FedYogi, without a
correction of bias; Hsu et al. 2019 (arXiv 1909.06335) for FedAvgM. Arithmetic is in float64, what is kept is rounded to float32.
Numbers are in hexadecimal, most significant digit first. With --check it compares instead of writing.
"""

import json
import pathlib
import random
import struct
import sys

import numpy as np

WEIGHTS, ROUNDS = 16, 12
FILE = pathlib.Path(__file__).with_name("strategies.json")


def fedavg(weights, mean, moments, _):
    return weights + mean, moments


def fedavgm(weights, mean, moments, numbers):
    m = single(numbers["beta"] * moments[0] + mean)
    return weights + numbers["rate"] * m, [m]


def adaptive(second):
    def step(weights, mean, moments, numbers):
        m = single(numbers["beta1"] * moments[0] + (1 - numbers["beta1"]) * mean)
        v = single(second(moments[1], mean * mean, numbers["beta2"]))
        return weights + numbers["rate"] * m / (np.sqrt(v) + numbers["tau"]), [m, v]

    return step


def adam(v, square, beta2):
    return beta2 * v + (1 - beta2) * square


def yogi(v, square, beta2):
    return v - (1 - beta2) * square * np.sign(v - square)


ADAPTIVE = {"rate": 0.01, "beta1": 0.9, "beta2": 0.99, "tau": 1e-3}
STRATEGIES = {
    "fedavg": (fedavg, {}, []),
    "fedavgm": (fedavgm, {"rate": 0.3, "beta": 0.9}, [0.0]),
    "fedadam": (adaptive(adam), ADAPTIVE, [0.0, ADAPTIVE["tau"] ** 2]),
    "fedyogi": (adaptive(yogi), ADAPTIVE, [0.0, ADAPTIVE["tau"] ** 2]),
}


def single(values):
    """Rounded to float32, as float64."""
    return np.asarray(values, dtype=np.float64).astype(np.float32).astype(np.float64)


def words(values, form):
    return [struct.pack(form, value).hex() for value in values]


def drawn():
    """Weights, and means of every size: alike from round to round, of changing sign, and none at all."""
    draw = random.Random(1)
    start = single([draw.uniform(-1, 1) for _ in range(WEIGHTS)])
    sizes = [10 ** draw.uniform(-9, 0) for _ in range(WEIGHTS)]
    means = []
    for number in range(ROUNDS):
        mean = [size * draw.uniform(-1, 1) for size in sizes]
        mean[0:4] = [0.0, -0.0, 1e-3, -1e-3]
        mean[4:6] = [0.02, 0.02 * (-1) ** number]
        mean[6] = 0.0 if number else 0.05
        means.append(np.array(mean))
    return start, means


def rounds(name, start, means):
    step, numbers, begins = STRATEGIES[name]
    weights, moments = start, [single(np.full(WEIGHTS, begin)) for begin in begins]
    for mean in means:
        weights, moments = step(weights, mean, moments, numbers)
        weights = single(weights)
        yield {"weights": words(weights, ">f"), "moments": [words(moment, ">f") for moment in moments]}


def vectors():
    start, means = drawn()
    return {
        "start": words(start, ">f"),
        "means": [words(mean, ">d") for mean in means],
        "strategies": [{"strategy": name, "rounds": list(rounds(name, start, means))} for name in STRATEGIES],
    }


def render(value, indent=0):
    """JSON with a line for each member, and lists of words on one line."""
    lines = []
    if isinstance(value, dict):
        lines = [f"{json.dumps(key)}: {render(member, indent + 1)}" for key, member in value.items()]
    elif isinstance(value, list) and any(not isinstance(member, str) for member in value):
        lines = [render(member, indent + 1) for member in value]
    if not lines:
        return json.dumps(value)
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    inner = "\n" + " " * (indent + 1)
    return opening + inner + ("," + inner).join(lines) + "\n" + " " * indent + closing


def main():
    text = render(vectors()) + "\n"
    if sys.argv[1:] == ["--check"]:
        if FILE.read_text() != text:
            sys.exit(f"{FILE.name} is not what this program computes")
    else:
        FILE.write_text(text)


if __name__ == "__main__":
    main()
