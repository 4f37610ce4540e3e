"""What is in each file of known answers: the files by their names, without the extension."""

from . import ckks, hashing, ring, sealed_sum

GROUPS = {
    "primes": ring.prime_numbers,
    "samplers": ring.samplers,
    "products": ring.products,
    "hashes": hashing.hashes,
    "encodings": ckks.encodings,
    "ckks_products": ckks.ckks_products,
    "rosters": sealed_sum.rosters,
    "quantised": sealed_sum.quantised,
    "sharing": sealed_sum.sharing,
    "sealed_sums": sealed_sum.sums,
}
