#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A double of a name server (RFC 1035, over UDP), for tests of programs that find names themselves.

Usage: name_server.py NAME ADDRESS. Listens on 127.0.0.1, port 53; prints "ready"; ends with its standard input. It knows that NAME is another name of
images.NAME, which has this IPv4 address and no other; any other name does not exist. What is no plain question is answered with FORMERR.
"""
import socket
import struct
import sys
import threading

A, CNAME, IN = 1, 5, 1
NXDOMAIN, FORMERR = 3, 1


def encode(name):
    return b"".join(bytes([len(label)]) + label.encode("ascii") for label in name.split(".")) + b"\0"


def answer(packet, name, address):
    number, flags, questions, answers, *_ = struct.unpack("!6H", packet[:12])
    end = packet.find(b"\0", 12) + 1
    plain = flags & 0xF800 == 0 and questions == 1 and answers == 0 and end > 12
    kind, family = struct.unpack("!2H", packet[end : end + 4]) if plain else (0, 0)
    if family != IN:
        return struct.pack("!6H", number, 0x8180 | FORMERR, 0, 0, 0, 0)
    known = packet[12:end].lower() == encode(name)
    records = [struct.pack("!2sHHIH", b"\xc0\x0c", CNAME, IN, 60, len(encode(f"images.{name}"))) + encode(f"images.{name}")] if known else []
    if known and kind == A:
        records.append(encode(f"images.{name}") + struct.pack("!HHIH", A, IN, 60, 4) + socket.inet_aton(address))
    return struct.pack("!6H", number, 0x8180 | (0 if known else NXDOMAIN), 1, len(records), 0, 0) + packet[12 : end + 4] + b"".join(records)


def serve(server):
    while True:
        packet, client = server.recvfrom(4096)
        server.sendto(answer(packet, sys.argv[1], sys.argv[2]), client)


def main():
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 53))
    threading.Thread(target=serve, args=(server,), daemon=True).start()
    print("ready", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
