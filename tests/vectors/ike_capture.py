"""The IKE datagrams of a capture, and the values that charon logged, for the scripts that make vectors."""
import re
import socket
import struct


def datagrams(path):
    """Yields (sender, message without the non-ESP marker) of each UDP datagram on the ports of IKE."""
    data = open(path, "rb").read()
    order = "<" if data[:4] == b"\xd4\xc3\xb2\xa1" else ">"
    at = 24
    while at < len(data):
        caplen = struct.unpack_from(order + "I", data, at + 8)[0]
        frame = data[at + 16:at + 16 + caplen]
        at += 16 + caplen
        if frame[12:14] != b"\x08\x00" or frame[23] != 17:
            continue
        ip = frame[14:]
        udp = ip[(ip[0] & 15) * 4:struct.unpack_from(">H", ip, 2)[0]]
        ports = struct.unpack_from(">HH", udp)
        payload = udp[8:]
        if 500 in ports:
            yield socket.inet_ntoa(ip[12:16]), payload
        elif 4500 in ports and payload[:4] == bytes(4):
            yield socket.inet_ntoa(ip[12:16]), payload[4:]


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


def log_values(path):
    """Yields (NAME.K, value) of each value that charon's log shows under one of NAMES."""
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
