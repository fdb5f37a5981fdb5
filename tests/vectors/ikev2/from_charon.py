#!/usr/bin/env python3
"""Makes a vector file from a capture of IKE exchanges and charon's log of its initiator.

  from_charon.py CAPTURE.pcap CHARON.log INITIATOR_ADDRESS > NAME.txt

The log must be of level ike = 4, chd = 4. Output, one item a line: "msg i|r HEX" for each IKE
datagram in order, then "NAME.K HEX" for the K-th key of that name in the log, counted from 1.
"""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from ike_capture import datagrams, log_values  # noqa: E402

for source, message in datagrams(sys.argv[1]):
    print("msg", "i" if source == sys.argv[3] else "r", message.hex())
for key, value in log_values(sys.argv[2]):
    print(key, value.hex())
