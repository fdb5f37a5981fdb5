"""The IKE datagrams of a capture, for the scripts that make vectors."""
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
