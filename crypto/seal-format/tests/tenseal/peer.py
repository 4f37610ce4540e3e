"""TenSEAL's side of the test `tenseal` of the crate `crypto`: `peer.py COMMAND`, one of the functions at the end.

Files of the working folder are what the two sides hand each other; what TenSEAL decrypts goes to stdout as JSON.
"""

import json
import sys
from pathlib import Path

import tenseal
from tenseal import sealapi

COMMAND = sys.argv[1]

LEFT = [0.5, -1.25, 2.0, 3.5, -0.001, 1e-6, 7.0, -8.0, 0.1]
RIGHT = [1.5, 0.75, -2.0, 0.25, 4.0, 3.0, 1.0, 1.0, -0.1]
# More than one ciphertext holds.
LONG = [((k * 7919) % 2001 - 1000) / 500 for k in range(5000)]
SIZES = {"study": (8192, [60, 40, 40, 60], 2.0**40), "small": (4096, [37, 33, 36], 2.0**33)}


def read(name):
    return Path(name).read_bytes()


def write(name, content):
    Path(name).write_bytes(content)


def new_context(name, **options):
    degree, sizes, scale = SIZES[name]
    context = tenseal.context(tenseal.SCHEME_TYPE.CKKS, degree, coeff_mod_bit_sizes=sizes, n_threads=1, **options)
    context.global_scale = scale
    return context


def encrypt():
    """Contexts with keys of both kinds, vectors, tensors, and TenSEAL's own product."""
    for name in SIZES:
        context = new_context(name)
        write(f"{name}.secret.context", context.serialize(save_secret_key=True))
        public = context.copy()
        public.make_context_public()
        write(f"{name}.public.context", public.serialize())
        left, right = tenseal.ckks_vector(context, LEFT), tenseal.ckks_vector(public, RIGHT)
        write(f"{name}.left.vector", left.serialize())
        write(f"{name}.right.vector", right.serialize())
        write(f"{name}.product.vector", (left * tenseal.ckks_vector(context, RIGHT)).serialize())
        write(f"{name}.scaled.vector", (left * RIGHT).serialize())
        write(f"{name}.long.vector", tenseal.ckks_vector(context, LONG).serialize())
        table = [LEFT[:3], LEFT[3:6]]
        write(f"{name}.batch.tensor", tenseal.ckks_tensor(context, table, batch=True).serialize())
        write(f"{name}.single.tensor", tenseal.ckks_tensor(context, table, batch=False).serialize())
        write(f"{name}.scalars.tensor", tenseal.ckks_tensor(context, LEFT, batch=True).serialize())
        if name == "small":
            context.generate_galois_keys()
            write("galois.context", context.serialize(save_secret_key=False, save_galois_keys=True))
    symmetric = new_context("small", encryption_type=tenseal.ENCRYPTION_TYPE.SYMMETRIC)
    write("symmetric.context", symmetric.serialize(save_secret_key=True))
    write("symmetric.vector", tenseal.ckks_vector(symmetric, LEFT).serialize())
    write("unscaled.context", tenseal.context(tenseal.SCHEME_TYPE.CKKS, 4096, coeff_mod_bit_sizes=[37, 33, 36]).serialize())
    bfv = tenseal.context(tenseal.SCHEME_TYPE.BFV, 4096, plain_modulus=1032193)
    write("bfv.context", bfv.serialize())


def seeds():
    """SEAL's own files, with seeds in the place of polynomials, from both generators.

    Modulo the first prime one word in 30 of a seed's stream is refused; SEAL's own choice hardly ever refuses one.
    """
    degree, primes, scale = 8192, [685752567796236289, 1099511480321, 1152921504606830593], 2.0**40
    for name, factory in [("blake2xb", sealapi.Blake2xbPRNGFactory), ("shake256", sealapi.Shake256PRNGFactory)]:
        parameters = sealapi.EncryptionParameters(sealapi.SCHEME_TYPE.CKKS)
        parameters.set_poly_modulus_degree(degree)
        parameters.set_coeff_modulus([sealapi.Modulus(prime) for prime in primes])
        # It must outlive what draws from it.
        generator = factory()
        parameters.set_random_generator(generator)
        context = sealapi.SEALContext(parameters, True, sealapi.SEC_LEVEL_TYPE.TC128)
        keys = sealapi.KeyGenerator(context)
        encoder = sealapi.CKKSEncoder(context)
        plaintext = sealapi.Plaintext()
        encoder.encode(LEFT, scale, plaintext)
        parameters.save(f"{name}.parameters")
        keys.secret_key().save(f"{name}.secret_key")
        keys.create_relin_keys().save(f"{name}.relin_keys")
        encryptor = sealapi.Encryptor(context, keys.secret_key())
        encryptor.encrypt_symmetric(plaintext).save(f"{name}.ciphertext")
        public_key = sealapi.PublicKey()
        keys.create_public_key(public_key)
        public_key.save(f"{name}.public_key")
        # A product that was not relinearised.
        ciphertext = sealapi.Ciphertext()
        sealapi.Encryptor(context, public_key).encrypt(plaintext, ciphertext)
        sealapi.Evaluator(context).square_inplace(ciphertext)
        ciphertext.save(f"{name}.square")


def decrypt():
    """What TenSEAL finds in the products that were computed of its ciphertexts."""
    answer = {}
    for name in SIZES:
        context = tenseal.context_from(read(f"{name}.secret.context"))
        product = tenseal.ckks_vector_from(context, read(f"{name}.rust_product.vector"))
        tensor = tenseal.ckks_tensor_from(context, read(f"{name}.rust_product.tensor"))
        answer[name] = [product.decrypt(), tensor.decrypt().tolist()]
    print(json.dumps(answer))


def multiply():
    """Multiplies what was encrypted elsewhere, under a context from there without the secret; then decrypts with it."""
    answer = {}
    for name in SIZES:
        public = tenseal.context_from(read(f"{name}.rust_public.context"))
        assert public.is_public() and public.has_relin_keys()
        left, right, long = (
            tenseal.ckks_vector_from(public, read(f"{name}.rust_{side}.vector")) for side in ("left", "right", "long")
        )
        product = left * right
        write(f"{name}.peer_product.vector", product.serialize())
        batch, single = (tenseal.ckks_tensor_from(public, read(f"{name}.rust_{kind}.tensor")) for kind in ("batch", "single"))
        tensor = batch * batch
        write(f"{name}.peer_product.tensor", tensor.serialize())
        # Encrypted with a public key that was made elsewhere.
        write(f"{name}.peer_fresh.vector", tenseal.ckks_vector(public, LEFT).serialize())
        secret = tenseal.context_from(read(f"{name}.rust_secret.context"))
        assert secret.is_private() and secret.has_relin_keys()
        for encrypted in (left, right, long, product, batch, single, tensor):
            encrypted.link_context(secret)
        answer[name] = {
            "left": left.decrypt(),
            "long": long.decrypt(),
            "product": product.decrypt(),
            # With the relinearisation key that TenSEAL made of the secret key.
            "again": (left * right).decrypt(),
            "batch": batch.decrypt().tolist(),
            "single": single.decrypt().tolist(),
            "squares": tensor.decrypt().tolist(),
        }
    symmetric = tenseal.context_from(read("rust_symmetric.context"))
    answer["symmetric"] = tenseal.ckks_vector_from(symmetric, read("rust_symmetric.vector")).decrypt()
    print(json.dumps(answer))


{function.__name__: function for function in (encrypt, seeds, decrypt, multiply)}[COMMAND]()
