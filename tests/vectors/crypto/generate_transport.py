#!/usr/bin/env python3
"""Writes transport.txt beside itself with python3-cryptography on OpenSSL >= 3.2; see SOURCE."""
import os

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding

HERE = os.path.dirname(os.path.abspath(__file__))
with open(os.path.join(HERE, "keys", "rsa-pkcs8.pem"), "rb") as f:
    KEY = serialization.load_pem_private_key(f.read(), None)
NUM = KEY.public_key().public_numbers()
K = KEY.key_size // 8
PS = bytes(1 + b % 255 for b in os.urandom(K))


def raw(em):
    assert len(em) == K
    return pow(int.from_bytes(em, "big"), NUM.e, NUM.n).to_bytes(K, "big")


def line(out, kind, cipher, plain):
    out.write(f"{kind} {cipher.hex()} {plain.hex() or '-'}\n")


with open(os.path.join(HERE, "transport.txt"), "w", encoding="ascii") as f:
    f.write("# padding cipher answer\n")
    pkcs1 = padding.PKCS1v15()
    oaep = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
    for n in (0, 1, 16, 24, 32, 48, K - 11):
        m = os.urandom(n)
        line(f, "pkcs1", KEY.public_key().encrypt(m, pkcs1), m)
    for n in (0, 1, 16, 32, K - 66):
        m = os.urandom(n)
        line(f, "oaep", KEY.public_key().encrypt(m, oaep), m)
    bad = [os.urandom(K) for _ in range(20)]
    bad = [b"\x00" + b[1:] for b in bad]
    key16 = os.urandom(16)
    bad += [
        b"\x00\x01" + PS[:K - 19] + b"\x00" + key16,       # block type 1
        b"\x01\x02" + PS[:K - 19] + b"\x00" + key16,       # first byte
        b"\x00\x02" + PS[:K - 2],                           # no separator
        b"\x00\x02" + PS[:7] + b"\x00" + PS[:K - 10],       # padding string of 7
        b"\x00\x02\x00" + PS[:K - 3],                       # and of none
        b"\x00\x02" + PS[:4] + b"\x00" + PS[:K - 24] + b"\x00" + key16,  # a zero too early
        b"\x00" * K,
    ]
    for em in bad:
        cipher = raw(em)
        line(f, "pkcs1", cipher, KEY.decrypt(cipher, pkcs1))
    em = b"\x00\x02" + PS[:8] + b"\x00" + PS[:K - 11]       # the shortest padding string allowed
    line(f, "pkcs1", raw(em), KEY.decrypt(raw(em), pkcs1))
