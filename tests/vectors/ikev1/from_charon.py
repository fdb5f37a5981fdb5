#!/usr/bin/env python3
"""Makes a vector file from a capture of IKEv1 exchanges and charon's log of their initiator.

  from_charon.py CAPTURE.pcap CHARON.log INITIATOR_ADDRESS HASH > NAME.txt

HASH is the negotiated one (sha256, sha384, sha512); the log must be of level 4. Output, one item a
line, in this order:

  msg i|r HEX     each IKE datagram, without the non-ESP marker
  plain.N HEX     what the N-th encrypted message holds (padding included), whose hash was verified
                  here; N counts from 1 over the messages, those put together from fragments as one
  NAME.K HEX      the K-th value of that name in the log

The plaintexts are made by this script alone, with python3-cryptography, from Ka and from the IVs as
RFC 2409 appendix B has them; HASH(1) to HASH(3), SKEYID_d/a/e, HASH_I, HASH_R and KEYMAT are computed
again as well, and signatures verified. It stops where something of it differs from what charon logged or sent.
"""
import hashlib
import hmac
import struct
import sys
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from ike_capture import datagrams, log_values  # noqa: E402

SA, KE, ID, CERT, HASH, SIG, NONCE = 1, 4, 5, 6, 8, 9, 10
MAIN, AGGRESSIVE, INFORMATIONAL, TRANSACTION, QUICK = 2, 4, 5, 6, 32
FRAGMENT = 132


def chain(first, data):
    """Payloads as (type, body, offset behind it)."""
    at, kind, out = 0, first, []
    while kind:
        nxt, length = data[at], struct.unpack_from(">H", data, at + 2)[0]
        out.append((kind, data[at + 4:at + length], at + length))
        at, kind = at + length, nxt
    return out


def body(payloads, kind, n=0):
    return [p[1] for p in payloads if p[0] == kind][n]


def joined(messages):
    """The messages, fragments put together."""
    parts = {}
    for side, m in messages:
        if m[16] != FRAGMENT:
            yield side, m
            continue
        frag = m[32:]
        parts.setdefault((side, frag[:2]), {})[frag[2]] = (frag[3], frag[4:])
        have = parts[side, frag[:2]]
        if have.get(len(have), (0,))[0] == 1 and set(have) == set(range(1, len(have) + 1)):
            yield side, b"".join(have[i][1] for i in sorted(have))


def check_signature(cert, sig, digest):
    """The hash itself is signed: RSA with no DigestInfo (RFC 2409 5.1), ECDSA as r | s (RFC 4754)."""
    key = x509.load_der_x509_certificate(cert).public_key()
    if isinstance(key, ec.EllipticCurvePublicKey):
        half = len(sig) // 2
        der = utils.encode_dss_signature(int.from_bytes(sig[:half], "big"),
                                         int.from_bytes(sig[half:], "big"))
        key.verify(der, digest, ec.ECDSA(utils.Prehashed(hashes.SHA256())))
        return
    n = key.public_numbers()
    size = key.key_size // 8
    opened = pow(int.from_bytes(sig, "big"), n.e, n.n).to_bytes(size, "big")
    if opened != b"\0\1" + b"\xff" * (size - 3 - len(digest)) + b"\0" + digest:
        sys.exit("RSA signature holds something else")


class Peer:
    def __init__(self, values, digest):
        self.v, self.digest = values, digest
        self.clear, self.iv, self.nonces, self.keymat_n = {}, {}, {}, 0

    def prf(self, key, *parts):
        return hmac.new(key, b"".join(parts), self.digest).digest()

    def equal(self, name, got):
        if self.v[name] != got:
            sys.exit(f"{name} differs from what charon logged")

    def keys(self):
        v, g, cky = self.v, self.v["shared.1"], self.cky
        d = self.prf(v["skeyid.1"], g, cky, b"\0")
        a = self.prf(v["skeyid.1"], d, g, cky, b"\1")
        e = self.prf(v["skeyid.1"], a, g, cky, b"\2")
        for name, got in (("skeyid_d.1", d), ("skeyid_a.1", a), ("skeyid_e.1", e)):
            self.equal(name, got)
        self.equal("ka.1", e[:len(v["ka.1"])])
        gx = self.clear["i", KE], self.clear["r", KE]
        self.iv[0] = hashlib.new(self.digest, gx[0] + gx[1]).digest()[:16]
        self.equal("iv.1", self.iv[0])

    def phase1_hash(self, side, ident):
        ckys, gx = (self.cky[:8], self.cky[8:]), (self.clear["i", KE], self.clear["r", KE])
        if side == "r":
            ckys, gx = ckys[::-1], gx[::-1]
        got = self.prf(self.v["skeyid.1"], *gx, *ckys, self.clear["i", SA], ident)
        self.equal("hash_%s.1" % side, got)
        return got

    def clear_message(self, side, m):
        payloads = chain(m[16], m[28:])
        for kind, data, _ in payloads:
            self.clear.setdefault((side, kind), data)
        self.cky = m[:16]
        if side == "r" and m[18] == AGGRESSIVE:
            self.keys()
            want = self.phase1_hash("r", body(payloads, ID))
            check_signature(body(payloads, CERT)[1:], body(payloads, SIG), want)

    def encrypted_message(self, side, m):
        mid = m[20:24]
        if 0 not in self.iv:
            self.keys()
        n = struct.unpack(">I", mid)[0]
        if n not in self.iv:
            self.iv[n] = hashlib.new(self.digest, self.iv[0] + mid).digest()[:16]
        aes = Cipher(algorithms.AES(self.v["ka.1"]), modes.CBC(self.iv[n])).decryptor()
        plain = aes.update(m[28:]) + aes.finalize()
        self.iv[n] = m[-16:]
        self.check(side, m[18], mid, chain(m[16], plain), plain)
        return plain

    def check(self, side, exchange, mid, payloads, plain):
        if exchange in (MAIN, AGGRESSIVE):
            if exchange == MAIN:
                self.phase1_hash(side, body(payloads, ID))
            kinds, want = [p[0] for p in payloads], self.v["hash_%s.1" % side]
            if HASH in kinds and body(payloads, HASH) != want:
                sys.exit("phase 1 hash was sent otherwise")
            if SIG in kinds:
                check_signature(body(payloads, CERT)[1:], body(payloads, SIG), want)
            return
        key, rest = self.v["skeyid_a.1"], plain[payloads[0][2]:payloads[-1][2]]
        if exchange != QUICK:
            want = self.prf(key, mid, rest)
        elif mid not in self.nonces:
            self.nonces[mid] = [body(payloads, NONCE)]
            self.last = payloads
            want = self.prf(key, mid, rest)
        elif len(self.nonces[mid]) == 1:
            want = self.prf(key, mid, self.nonces[mid][0], rest)
            self.nonces[mid].append(body(payloads, NONCE))
            self.keymat(mid, body(self.last, SA), body(payloads, SA))
        else:
            want = self.prf(key, b"\0", mid, *self.nonces[mid])
        if want != body(payloads, HASH):
            sys.exit(f"hash of message {mid.hex()} of exchange {exchange} differs")

    def keymat(self, mid, sa_i, sa_r):
        """RFC 2409 5.5; the SPIs stand behind DOI, situation and the proposal's fixed part."""
        self.keymat_n += 1
        k = str(self.keymat_n)
        shared = self.v.get("child_shared." + k, b"")
        for name, spi in (("i", sa_r[16:20]), ("r", sa_i[16:20])):
            want = self.v[f"encr_{name}.{k}"] + self.v.get(f"integ_{name}.{k}", b"")
            out, last = b"", b""
            while len(out) < len(want):
                last = self.prf(self.v["skeyid_d.1"], last, shared, b"\3", spi,
                                *self.nonces[mid])
                out += last
            if out[:len(want)] != want:
                sys.exit(f"keys of child {k} ({name}) differ from what charon logged")


def main():
    capture, log, initiator, digest = sys.argv[1:]
    messages = [("i" if src == initiator else "r", m) for src, m in datagrams(capture)]
    values = dict(log_values(log))
    for side, m in messages:
        print("msg", side, m.hex())
    peer = Peer(values, digest)
    for n, (side, m) in enumerate(joined(messages), 1):
        if m[19] & 1:
            print(f"plain.{n}", peer.encrypted_message(side, m).hex())
        else:
            peer.clear_message(side, m)
    for name, value in values.items():
        print(name, value.hex())


main()
