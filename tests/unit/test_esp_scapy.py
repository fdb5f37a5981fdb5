#!/usr/bin/python3
"""
The other side of test_esp_scapy.c: opens and makes ESP packets with scapy, and where scapy cannot
(ESN with a MAC) with python3-cryptography. One request a line on standard input:

  list                                        one line: the inner packets, in hex
  open SUITE ENCR INTEG SPI ESN SEQ OUTER PKT   the inner packet of an ESP packet
  seal SUITE ENCR INTEG SPI ESN SEQ OUTER PKT   the ESP packet for an inner one

SUITE is "crypt/auth" as scapy names them, ESN 0 or 1, SEQ 64 bits in decimal, OUTER "4", "6",
"4u" or "6u" (u: in UDP); packets are hex, ESP packets from the SPI on. Each answer is one line.
"""
import os
import struct
import sys

from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from scapy.config import conf

conf.verb = 0
from scapy.layers.inet import ICMP, IP, TCP, UDP  # noqa: E402
from scapy.layers.inet6 import (ICMPv6EchoRequest, IPv6, IPv6ExtHdrDestOpt,  # noqa: E402
                                IPv6ExtHdrFragment, IPv6ExtHdrHopByHop)
from scapy.layers.ipsec import ESP, SecurityAssociation  # noqa: E402

A4, B4, A6, B6 = "10.1.0.5", "10.2.0.9", "2001:db8:1::5", "2001:db8:2::9"
INNER = [
    IP(src=A4, dst=B4, ttl=7) / UDP(sport=12345, dport=53) / b"question",
    IP(src=A4, dst=B4, flags="DF", tos=0x28) / TCP(sport=40000, dport=443, flags="A") / (b"d" * 1300),
    IP(src=A4, dst=B4) / ICMP(id=7, seq=1) / b"ping",
    IP(src=A4, dst=B4, flags="MF", frag=20) / (b"middle of something" * 4)[:64],
    IPv6(src=A6, dst=B6, hlim=3) / UDP(sport=12345, dport=53) / b"question",
    IPv6(src=A6, dst=B6, tc=0x2e << 2) / TCP(sport=40000, dport=443, flags="PA") / (b"e" * 777),
    IPv6(src=A6, dst=B6) / ICMPv6EchoRequest(data=b"ping"),
    IPv6(src=A6, dst=B6) / IPv6ExtHdrHopByHop() / IPv6ExtHdrDestOpt() / UDP() / b"f",
    IPv6(src=A6, dst=B6) / IPv6ExtHdrFragment(m=1, id=9) / UDP() / (b"g" * 64),
]
HASHES = {"SHA2-256-128": (hashes.SHA256(), 16), "SHA2-384-192": (hashes.SHA384(), 24),
          "SHA2-512-256": (hashes.SHA512(), 32)}


def association(crypt, auth, encr, integ, spi, esn, seq, outer):
    tunnel = IP(src="192.0.2.1", dst="192.0.2.2") if outer[0] == "4" else \
        IPv6(src="2001:db8::1", dst="2001:db8::2")
    return SecurityAssociation(
        ESP, spi=spi, seq_num=seq & 0xffffffff, crypt_algo=crypt, crypt_key=encr,
        auth_algo=auth, auth_key=integ, tunnel_header=tunnel,
        nat_t_header=UDP(sport=4500, dport=4500) if outer.endswith("u") else None,
        esn_en=bool(esn), esn=seq >> 32)


def outer_packet(outer, esp):
    """An outer packet around our ESP bytes, as it would be on the wire."""
    ip = IP(src="192.0.2.1", dst="192.0.2.2") if outer[0] == "4" else \
        IPv6(src="2001:db8::1", dst="2001:db8::2")
    if outer.endswith("u"):
        return ip.__class__(bytes(ip / UDP(sport=4500, dport=4500) / esp))
    if outer[0] == "4":
        ip.proto = 50
    else:
        ip.nh = 50
    return ip.__class__(bytes(ip / esp))


def mac(auth, integ, data, seq):
    algorithm, length = HASHES[auth]
    h = hmac.HMAC(integ, algorithm)
    h.update(data + struct.pack("!I", seq >> 32))
    return h.finalize()[:length]


def cbc_open(auth, encr, integ, seq, pkt):
    length = HASHES[auth][1]
    body, icv = pkt[:-length], pkt[-length:]
    if mac(auth, integ, body, seq) != icv:
        raise ValueError("ICV is wrong")
    d = Cipher(algorithms.AES(encr), modes.CBC(body[8:24])).decryptor()
    plain = d.update(body[24:]) + d.finalize()
    return plain[:-2 - plain[-2]]


def cbc_seal(auth, encr, integ, spi, seq, inner):
    pad = -(len(inner) + 2) % 16
    plain = inner + bytes(range(1, pad + 1)) + bytes([pad, 4 if inner[0] >> 4 == 4 else 41])
    iv = os.urandom(16)
    e = Cipher(algorithms.AES(encr), modes.CBC(iv)).encryptor()
    body = struct.pack("!II", spi, seq & 0xffffffff) + iv + e.update(plain) + e.finalize()
    return body + mac(auth, integ, body, seq)


def run(verb, suite, encr, integ, spi, esn, seq, outer, pkt):
    crypt, auth = suite.split("/")
    encr, integ = bytes.fromhex(encr), bytes.fromhex(integ.strip("-"))
    spi, esn, seq, pkt = int(spi), int(esn), int(seq), bytes.fromhex(pkt)
    with_mac = auth != "NULL"
    if with_mac and esn:  # scapy's MAC does not cover the high half of the number
        if verb == "open":
            return cbc_open(auth, encr, integ, seq, pkt)
        return cbc_seal(auth, encr, integ, spi, seq, pkt)
    sa = association(crypt, auth, encr, integ, spi, esn, seq, outer)
    if verb == "open":
        return bytes(sa.decrypt(outer_packet(outer, pkt)))
    made = sa.encrypt((IP if pkt[0] >> 4 == 4 else IPv6)(pkt), seq_num=seq & 0xffffffff)
    return bytes(made[ESP])


for line in sys.stdin:
    words = line.split()
    if words[0] == "list":
        print(" ".join(bytes(p).hex() for p in INNER))
        continue
    try:
        print(run(*words).hex())
    except Exception as e:  # told to the C side, which names the case
        print("error", type(e).__name__, e)
