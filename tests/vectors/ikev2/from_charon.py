#!/usr/bin/env python3
"""Makes a vector file from a capture of IKE exchanges and charon's log of its initiator.

  from_charon.py CAPTURE.pcap CHARON.log INITIATOR_ADDRESS > NAME.txt

The log must be of level ike = 4, chd = 4. Output, one item a line: "msg i|r HEX" for each IKE
datagram in order, then "NAME.K HEX" for the K-th key of that name in the log, counted from 1.
"""
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from ike_capture import datagrams  # noqa: E402

NAMES = {
    "shared Diffie Hellman secret": "shared", "SKEYSEED": "skeyseed", "Sk_d secret": "sk_d",
    "Sk_ai secret": "sk_ai", "Sk_ar secret": "sk_ar", "Sk_ei secret": "sk_ei",
    "Sk_er secret": "sk_er", "Sk_pi secret": "sk_pi", "Sk_pr secret": "sk_pr",
    "DH secret": "child_shared", "encryption initiator key": "encr_i",
    "encryption responder key": "encr_r", "integrity initiator key": "integ_i",
    "integrity responder key": "integ_r", "octets = message + nonce + prf(Sk_px, IDx')": "octets",
    "precalculated src_hash": "natd_src", "precalculated dst_hash": "natd_dst",
    # IKEv1
    "SKEYID": "skeyid", "SKEYID_d": "skeyid_d", "SKEYID_a": "skeyid_a", "SKEYID_e": "skeyid_e",
    "encryption key Ka": "ka", "initial IV": "iv", "HASH_I": "hash_i", "HASH_R": "hash_r",
    "Hash(1)": "hash_1", "Hash(2)": "hash_2", "Hash(3)": "hash_3",
}


def keys(path):
    seen, name, left, value = {}, None, 0, b""
    for line in open(path, errors="replace"):
        head = re.search(r"\] (.*) => (\d+) bytes @", line)
        row = re.search(r"\] +\d+: ((?:[0-9A-F]{2} ){1,16})", line)
        if head and head[1].strip() in NAMES:
            name, left, value = NAMES[head[1].strip()], int(head[2]), b""
        elif name and row:
            got = bytes.fromhex(row[1])[:left]
            value += got
            left -= len(got)
            if left == 0:
                seen[name] = seen.get(name, 0) + 1
                yield f"{name}.{seen[name]}", value
                name = None


for source, message in datagrams(sys.argv[1]):
    print("msg", "i" if source == sys.argv[3] else "r", message.hex())
for key, value in keys(sys.argv[2]):
    print(key, value.hex())
