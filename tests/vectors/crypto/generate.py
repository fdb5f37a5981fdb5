#!/usr/bin/env python3
"""Writes suites.txt, prf.txt and modp.txt beside itself; see SOURCE.

Inputs are derived from SHAKE-128 of a label, so that a second run gives the same files.
"""
import hashlib
import os

from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

HERE = os.path.dirname(os.path.abspath(__file__))
HASH = {"sha256": (hashes.SHA256, 32), "sha384": (hashes.SHA384, 48), "sha512": (hashes.SHA512, 64)}


def some(label, n):
    return hashlib.shake_128(label.encode()).digest(n)


def mac(name, key, data):
    h = hmac.HMAC(key, HASH[name][0]())
    h.update(data)
    return h.finalize()


def text(*fields):
    return " ".join(f.hex() or "-" if isinstance(f, bytes) else f for f in fields) + "\n"


def suites(out):
    out.write("# suite encr_key integ_key aad iv mac_tail plaintext ciphertext icv\n")
    for name, key_len in (("aes128gcm16", 16), ("aes192gcm16", 24), ("aes256gcm16", 32),
                          ("chacha20poly1305", 32)):
        for n in (0, 1, 15, 16, 17, 64, 255, 1400):
            tag = f"{name}/{n}"
            key, iv = some(tag + "/key", key_len + 4), some(tag + "/iv", 8)
            aad, data = some(tag + "/aad", (8, 12, 0)[n % 3]), some(tag + "/data", n)
            aead = ChaCha20Poly1305 if name.startswith("chacha") else AESGCM
            sealed = aead(key[:key_len]).encrypt(key[key_len:] + iv, data, aad or None)
            out.write(text(name, key, b"", aad, iv, b"", data, sealed[:n], sealed[n:]))
    for bits in (0, 128, 192, 256):
        for hash_name, (_, hash_len) in HASH.items():
            name = f"aes{bits}-{hash_name}" if bits else f"null-{hash_name}"
            for n in (0, 16, 64, 1408) if bits else (0, 1, 20, 1400):
                tag = f"{name}/{n}"
                key, integ = some(tag + "/key", bits // 8), some(tag + "/integ", hash_len)
                iv, aad = some(tag + "/iv", 16 if bits else 0), some(tag + "/aad", 8)
                tail, data = some(tag + "/tail", (0, 4)[n % 3 == 1]), some(tag + "/data", n)
                sealed = data
                if bits:
                    e = Cipher(algorithms.AES(key), modes.CBC(iv)).encryptor()
                    sealed = e.update(data) + e.finalize()
                icv = mac(hash_name, integ, aad + iv + sealed + tail)[:hash_len // 2]
                out.write(text(name, key, integ, aad, iv, tail, data, sealed, icv))


def prf(out):
    out.write("# plus PRF key seed output | psk PRF secret octets output\n")
    for name, (_, hash_len) in HASH.items():
        for n in (1, hash_len - 1, hash_len, hash_len + 1, 7 * hash_len + 5, 255 * hash_len):
            key, seed = some(f"{name}/{n}/key", hash_len), some(f"{name}/{n}/seed", 80)
            stream = t = b""
            for i in range(1, 256):
                t = mac(name, key, t + seed + bytes([i]))
                stream += t
            # the longest is stored by its digest
            value = stream[:n] if n < 1000 else hashlib.sha256(stream[:n]).digest()
            out.write(text("plus", name, key, seed, str(n), value))
        for n in (1, 20, 200):
            secret, octets = some(f"{name}/{n}/secret", n), some(f"{name}/{n}/octets", 5 * n)
            inner = mac(name, secret, b"Key Pad for IKEv2")
            out.write(text("psk", name, secret, octets, "0", mac(name, inner, octets)))


def pi_bits(n):
    """floor(2^n pi), by Machin's formula in integers."""
    one = 1 << (n + 64)

    def arctan(q):
        total = term = one // q
        k, sign = 1, -1
        while term:
            term //= q * q
            k += 2
            total += sign * (term // k)
            sign = -sign
        return total

    return 4 * (4 * arctan(5) - arctan(239)) >> 64


def modp(out):
    out.write("# group our_private our_public peer_public shared\n")
    for group, n, k in (("14", 2048, 124476), ("15", 3072, 1690314), ("16", 4096, 240904)):
        # RFC 3526: p = 2^n - 2^(n-64) - 1 + 2^64 (floor(2^(n-130) pi) + k), g = 2
        p = 2 ** n - 2 ** (n - 64) - 1 + 2 ** 64 * (pi_bits(n - 130) + k)
        peer = pow(2, int.from_bytes(some(group + "/peer", 32), "big"), p)
        # any; a public value and a secret that begin with a zero byte
        wanted = [lambda pub, key: True, lambda pub, key: pub >> (n - 8) == 0,
                  lambda pub, key: key >> (n - 8) == 0]
        for i in range(10000):
            x = int.from_bytes(some(f"{group}/{i}", 32), "big")
            pub, key = pow(2, x, p), pow(peer, x, p)
            if wanted[0](pub, key):
                out.write(text(group, *(v.to_bytes(m, "big") for v, m in (
                    (x, 32), (pub, n // 8), (peer, n // 8), (key, n // 8)))))
                wanted.pop(0)
            if not wanted:
                break


with open(os.path.join(HERE, "suites.txt"), "w", encoding="ascii") as f:
    suites(f)
with open(os.path.join(HERE, "prf.txt"), "w", encoding="ascii") as f:
    prf(f)
with open(os.path.join(HERE, "modp.txt"), "w", encoding="ascii") as f:
    modp(f)
