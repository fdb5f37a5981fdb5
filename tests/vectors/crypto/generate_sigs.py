#!/usr/bin/env python3
"""Writes sigs.txt beside itself with python3-cryptography; see SOURCE. Keys are new each time."""
import os

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

HERE = os.path.dirname(os.path.abspath(__file__))
HASHES = {"sha256": hashes.SHA256(), "sha384": hashes.SHA384(), "sha512": hashes.SHA512()}


def spki(key):
    return key.public_key().public_bytes(serialization.Encoding.DER,
                                         serialization.PublicFormat.SubjectPublicKeyInfo)


def line(out, rc, scheme, key, data, signature):
    out.write(" ".join((rc, scheme, spki(key).hex(), data.hex() or "-", signature.hex())) + "\n")


with open(os.path.join(HERE, "sigs.txt"), "w", encoding="ascii") as f:
    f.write("# result scheme spki data signature\n")
    for bits in (2048, 3072, 4096):
        key = rsa.generate_private_key(65537, bits)
        for name, h in HASHES.items():
            data = os.urandom(100)
            line(f, "OK", f"rsa-{name}", key, data, key.sign(data, padding.PKCS1v15(), h))
            pss = padding.PSS(padding.MGF1(h), h.digest_size)
            line(f, "OK", f"rsa-pss-{name}", key, data, key.sign(data, pss, h))
    data = b""
    line(f, "OK", "rsa-sha256", key, data, key.sign(data, padding.PKCS1v15(), hashes.SHA256()))
    # a salt of another length, and MGF1 with another hash, are other schemes
    h = hashes.SHA256()
    line(f, "CRYPTO", "rsa-pss-sha256", key, data, key.sign(data, padding.PSS(padding.MGF1(h), 20), h))
    other = padding.PSS(padding.MGF1(hashes.SHA512()), 32)
    line(f, "CRYPTO", "rsa-pss-sha256", key, data, key.sign(data, other, h))
    small = rsa.generate_private_key(65537, 1024)
    line(f, "WEAK_ALGORITHM", "rsa-sha256", small, data, small.sign(data, padding.PKCS1v15(), h))
    for curve in (ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()):
        key = ec.generate_private_key(curve)
        for name, h in HASHES.items():
            data = os.urandom(77)
            line(f, "OK", f"ecdsa-{name}", key, data, key.sign(data, ec.ECDSA(h)))
    key = ec.generate_private_key(ec.SECP256K1())
    line(f, "CRYPTO", "ecdsa-sha256", key, data, key.sign(data, ec.ECDSA(hashes.SHA256())))
    key = ed25519.Ed25519PrivateKey.generate()
    for n in (0, 1, 1000):
        data = os.urandom(n)
        line(f, "OK", "ed25519", key, data, key.sign(data))
