"""Records what SEAL 4.3, inside TenSEAL 0.3.18, writes and computes: `record.py` writes the files beside it, `record.py --check` compares.

All randomness comes from one fixed seed, so that every run gives the same. A generator with such a seed protects nothing.
"""

import hashlib
import json
import struct
import sys
import tempfile
from pathlib import Path

from tenseal import sealapi

HERE = Path(__file__).parent
# Modulo the first prime 1 word in 30 is refused, where SEAL's own choice, just below a power of two, hardly ever refuses one.
REFUSING = [685752567796236289, 1099511480321]
DEGREE, BITS, SCALE = 4096, [33, 34], 2.0**30
SEED = [0x0123456789ABCDEF * (k + 1) % 2**64 for k in range(8)]
VALUES = [0.5, -1.25, 3.0]
GENERATORS = {
    "blake2xb": (sealapi.Blake2xbPRNG, sealapi.Blake2xbPRNGFactory),
    "shake256": (sealapi.Shake256PRNG, sealapi.Shake256PRNGFactory),
}


def saved(thing):
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "file"
        thing.save(str(file))
        return file.read_bytes()


def loaded(kind, context, content):
    thing = kind()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "file"
        file.write_bytes(content)
        thing.load(context, str(file))
    return thing


def words(values):
    return b"".join(struct.pack("<Q", value) for value in values)


def stream(generator, blocks):
    """The first blocks of 4096 bytes; SEAL hands them out in words of 32 bits."""
    draws = generator(SEED)
    return b"".join(struct.pack("<I", draws.generate()) for _ in range(blocks * 1024))


def uniform(generator):
    """The polynomial of the seed modulo these primes, from SEAL's stream by SEAL's rule."""
    draws = generator(SEED)
    word = lambda: draws.generate() | draws.generate() << 32
    drawn = [[word() for _ in range(8192)] for _ in REFUSING]
    refused = 0
    for prime, row in zip(REFUSING, drawn):
        bound = 2**64 - 1 - (2**64 - 1) % prime - 1
        for place in range(8192):
            while row[place] >= bound:
                row[place] = word()
                refused += 1
            row[place] %= prime
    return refused, hashlib.sha256(words(word for row in drawn for word in row)).hexdigest()


def record():
    facts = {"refusing_primes": REFUSING, "degree": DEGREE, "bits": BITS, "scale": SCALE, "values": VALUES, "seed": words(SEED).hex()}
    files = {}
    for name, (generator, factory) in GENERATORS.items():
        bytes_ = stream(generator, 3)
        facts[name] = {
            "first_bytes": bytes_[:16].hex(),
            "across_blocks": bytes_[4088:4104].hex(),
            "sha256_of_3_blocks": hashlib.sha256(bytes_).hexdigest(),
        }
        facts[name]["refused"], facts[name]["sha256_of_refusing"] = uniform(generator)
        parameters = sealapi.EncryptionParameters(sealapi.SCHEME_TYPE.CKKS)
        parameters.set_poly_modulus_degree(DEGREE)
        parameters.set_coeff_modulus(sealapi.CoeffModulus.Create(DEGREE, BITS))
        # It must outlive what draws from it.
        draws = factory(SEED)
        parameters.set_random_generator(draws)
        context = sealapi.SEALContext(parameters, True, sealapi.SEC_LEVEL_TYPE.TC128)
        facts["primes"] = [prime.value() for prime in parameters.coeff_modulus()]
        facts["parameters"] = saved(parameters).hex()
        facts["key_parms_id"] = words(context.key_parms_id()).hex()
        facts["data_parms_id"] = words(context.first_parms_id()).hex()
        keys = sealapi.KeyGenerator(context)
        plaintext = sealapi.Plaintext()
        sealapi.CKKSEncoder(context).encode(VALUES, SCALE, plaintext)
        seeded = saved(sealapi.Encryptor(context, keys.secret_key()).encrypt_symmetric(plaintext))
        # The array is the ciphertext's own.
        ciphertext = loaded(sealapi.Ciphertext, context, seeded)
        array = ciphertext.dyn_array()
        whole = [array.at(k) for k in range(2 * DEGREE)]
        for part, polynomial in [("constant", whole[:DEGREE]), ("linear", whole[DEGREE:])]:
            facts[name][f"{part}_first_words"] = polynomial[:3]
            facts[name][f"sha256_of_{part}"] = hashlib.sha256(words(polynomial)).hexdigest()
        files[f"{name}.ciphertext"] = seeded
    files["facts.json"] = (json.dumps(facts, indent=2) + "\n").encode()
    return files


def main():
    files = record()
    if sys.argv[1:] == ["--check"]:
        different = [name for name, content in files.items() if (HERE / name).read_bytes() != content]
        sys.exit(f"SEAL gives something else for {different}" if different else 0)
    for name, content in files.items():
        (HERE / name).write_bytes(content)


main()
