#!/usr/bin/env python3
"""Have strongSwan initiate one child many times, several at once, over its vici socket.

    vici_load.py SOCKET CHILD COUNT CONCURRENT

One vici connection per concurrent handshake, so no swanctl process is started for each. charon runs
with reuse_ikesa = no, so that each call makes an IKE SA of its own.
Prints: succeeded failed seconds p50_ms p99_ms first-error
"""
import socket
import struct
import sys
import threading
import time


def key_value(key, value):
    return bytes([3, len(key)]) + key.encode() + struct.pack(">H", len(value)) + value.encode()


def receive(sock, length):
    data = b""
    while len(data) < length:
        part = sock.recv(length - len(data))
        if not part:
            raise EOFError("charon closed the vici socket")
        data += part
    return data


def request(sock, command, body):
    packet = bytes([0, len(command)]) + command.encode() + body
    sock.sendall(struct.pack(">I", len(packet)) + packet)
    return receive(sock, struct.unpack(">I", receive(sock, 4))[0])


def main():
    path, child, count, concurrent = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    lock = threading.Lock()
    state = {"left": count, "ok": 0, "bad": 0, "error": ""}
    latency = []

    def worker():
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(path)
        body = key_value("child", child) + key_value("timeout", "20000") + key_value("init-limits", "no")
        while True:
            with lock:
                if state["left"] == 0:
                    return
                state["left"] -= 1
            start = time.monotonic()
            answer = request(sock, "initiate", body)
            took = time.monotonic() - start
            with lock:
                if b"\x03\x07success\x00\x03yes" in answer:
                    state["ok"] += 1
                    latency.append(took)
                else:
                    state["bad"] += 1
                    state["error"] = state["error"] or repr(answer[:200])

    start = time.monotonic()
    threads = [threading.Thread(target=worker) for _ in range(concurrent)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.monotonic() - start
    latency.sort()

    def quantile(part):
        return latency[min(len(latency) - 1, int(len(latency) * part))] * 1000 if latency else 0

    print(state["ok"], state["bad"], f"{seconds:.3f}", f"{quantile(.5):.2f}", f"{quantile(.99):.2f}", state["error"])


main()
