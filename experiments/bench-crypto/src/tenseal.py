"""TenSEAL's side of `experiments bench crypto`: one job a line of JSON on stdin, one answer a line on stdout.

The argument is the clock: `wall`, or `processor` for the time that this thread has the processor. Every number is the median of
seconds over the job's repetitions, after one that does not count. TenSEAL gets one thread; all else is its default.
"""

import gc
import json
import random
import statistics
import sys
import time

try:
    import tenseal
except ImportError:
    sys.exit(3)

CLOCK = {"wall": time.perf_counter_ns, "processor": time.thread_time_ns}[sys.argv[1]]
SLOTS = 4096
FEATURES = 9
SCALE = 2.0**40
DRAWS = 30


def make_context(sizes):
    context = tenseal.context(
        tenseal.SCHEME_TYPE.CKKS, poly_modulus_degree=2 * SLOTS, coeff_mod_bit_sizes=sizes, n_threads=1
    )
    context.global_scale = SCALE
    return context


STUDY = [60, 40, 40, 60]
# The parameters of NVFlare's homomorphic encryption.
NVFLARE = [60, 40, 40]

context = make_context(STUDY)
update_context = make_context(NVFLARE)


def uniform(count):
    return [random.uniform(-1.0, 1.0) for _ in range(count)]


def median_seconds(repetitions, work):
    work()
    samples = []
    gc.disable()
    for _ in range(repetitions):
        start = CLOCK()
        work()
        samples.append((CLOCK() - start) / 1e9)
    gc.enable()
    return statistics.median(samples)


def clip(values):
    return [max(-1.0, min(1.0, value)) for value in values]


left, right = uniform(SLOTS), uniform(SLOTS)
features, filters = left[:FEATURES], right[:FEATURES]
encrypted_left = tenseal.ckks_vector(context, left)
encrypted_right = tenseal.ckks_vector(context, right)
encrypted_product = encrypted_left * encrypted_right
serialised = encrypted_left.serialize()


def vector_job():
    product = tenseal.ckks_vector(context, features) * tenseal.ckks_vector(context, filters)
    return clip(product.decrypt())


def tensor_job():
    product = tenseal.ckks_tensor(context, features) * tenseal.ckks_tensor(context, filters)
    return clip(product.decrypt().tolist())


def conditioning(repetitions):
    vector = {
        "conditioning_job": vector_job,
        "encode_encrypt_public": lambda: tenseal.ckks_vector(context, left),
        "multiply_relinearise_rescale": lambda: encrypted_left * encrypted_right,
        "decrypt_decode_product": lambda: encrypted_product.decrypt(),
        "serialise": lambda: encrypted_left.serialize(),
        "deserialise": lambda: tenseal.ckks_vector_from(context, serialised),
    }
    times = {stem: median_seconds(repetitions, work) for stem, work in vector.items()}
    times["context_and_keys"] = median_seconds(1, lambda: make_context(STUDY))
    return {"vector": times, "tensor": {"conditioning_job": median_seconds(1, tensor_job)}}


def update(parameters):
    """A sample of the ciphertexts of an update, as NVFlare encrypts, adds and decrypts them; times for all of them."""
    ciphertexts = -(-parameters // SLOTS)
    encrypted = tenseal.ckks_vector(update_context, left)
    total = encrypted.copy()

    def add():
        nonlocal total
        total += encrypted

    seal = ciphertexts * median_seconds(SAMPLE, lambda: tenseal.ckks_vector(update_context, left).serialize())
    open_ = ciphertexts * median_seconds(SAMPLE, lambda: encrypted.decrypt())
    add_all = ciphertexts * median_seconds(SAMPLE, add)
    vector = {"add": add_all}
    for hospitals in ("n10", "n100"):
        vector[f"seal_seconds_{hospitals}"] = seal
        vector[f"open_seconds_{hospitals}"] = open_
    return {"vector": vector, "tensor": {}}


SAMPLE = 20


def facts(parameters):
    largest = 0.0
    for _ in range(DRAWS):
        a, b = uniform(SLOTS), uniform(SLOTS)
        product = (tenseal.ckks_vector(context, a) * tenseal.ckks_vector(context, b)).decrypt()
        largest = max(largest, max(abs(p - x * y) for p, x, y in zip(product, a, b)))
    ciphertexts = -(-parameters // SLOTS)
    return {
        "tenseal_vector_product_max_abs_error": largest,
        "tenseal_vector_fresh_ciphertext_bytes": len(serialised),
        "tenseal_vector_upload_bytes": ciphertexts * len(tenseal.ckks_vector(update_context, left).serialize()),
    }


JOBS = {"conditioning": conditioning, "update": update, "facts": facts}


def answer(value):
    print(json.dumps(value), flush=True)


answer({"version": tenseal.__version__})
for line in sys.stdin:
    job, argument = json.loads(line)
    answer(JOBS[job](argument))
