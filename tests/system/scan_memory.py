#!/usr/bin/env python3
"""Looks for the private part of keys in the memory of processes.

    scan_memory.py KEY.pem PID...

Prints "PID found FORM" for each process that holds a piece of the key, in whatever form: DER or PEM, a
number in network order, or a number as libcrypto's little-endian words. Exits with 0 when none does.
"""
import re
import sys

from cryptography.hazmat.primitives import serialization as ser
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

PIECE = 16  # bytes; the chance of a match by accident is nil


def pieces(pem):
    key = ser.load_pem_private_key(pem, None)
    numbers = {}
    if isinstance(key, rsa.RSAPrivateKey):
        n = key.private_numbers()
        numbers = {"d": n.d, "p": n.p, "q": n.q, "dP": n.dmp1, "dQ": n.dmq1, "qInv": n.iqmp}
    elif isinstance(key, ec.EllipticCurvePrivateKey):
        numbers = {"scalar": key.private_numbers().private_value}
    found = {}
    for name, value in numbers.items():
        raw = value.to_bytes((value.bit_length() + 7) // 8, "big")
        found[name + " big-endian"] = raw[len(raw) // 2 - PIECE // 2:][:PIECE]
        found[name + " little-endian"] = raw[::-1][len(raw) // 2 - PIECE // 2:][:PIECE]
    if isinstance(key, ed25519.Ed25519PrivateKey):
        raw = key.private_bytes(ser.Encoding.Raw, ser.PrivateFormat.Raw, ser.NoEncryption())
        found["seed"] = raw[:PIECE]
    body = [line for line in pem.splitlines() if line and not line.startswith(b"-")]
    found["PEM"] = body[-2 if len(body) > 2 else -1][:32]
    return found


def regions(pid):
    with open(f"/proc/{pid}/maps") as maps:
        for line in maps:
            m = re.match(r"([0-9a-f]+)-([0-9a-f]+) (r)", line)
            if m and "[vvar" not in line and "[vsyscall]" not in line:
                yield int(m[1], 16), int(m[2], 16)


def scan(pid, wanted):
    hits, seen = set(), 0
    with open(f"/proc/{pid}/mem", "rb", 0) as mem:
        for start, end in regions(pid):
            try:
                mem.seek(start)
                data = mem.read(end - start)
            except OSError:
                continue
            seen += len(data)
            for name, piece in wanted.items():
                if piece in data:
                    hits.add(name)
    if seen < 1 << 20:
        sys.exit(f"process {pid}: only {seen} bytes could be read, the scan proves nothing")
    return hits


def main():
    with open(sys.argv[1], "rb") as f:
        wanted = pieces(f.read())
    bad = False
    for pid in sys.argv[2:]:
        for name in sorted(scan(int(pid), wanted)):
            print(pid, "found", name)
            bad = True
    sys.exit(1 if bad else 0)


main()
