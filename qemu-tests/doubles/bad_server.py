#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# A web server that misbehaves on purpose, for tests of webops-fetch. Serves one file of random bytes; the path says how: /MODE or
# /MODE/ARGUMENT, and what follows in the path is ignored. Prints its port, then one line per request, and ends with its standard input.
"""bad_server.py FILE [--tls CERT.pem KEY.pem [--plain-port PORT]]"""
import re
import socket
import ssl
import sys
import threading
import time

ETAG = '"one"'
MODIFIED = "Sat, 01 Nov 2025 00:00:00 GMT"
state_lock = threading.Lock()
counters: dict[str, int] = {}


def count(key):
    """How often this was called with `key`, this call included."""
    with state_lock:
        counters[key] = counters.get(key, 0) + 1
        return counters[key]


class Request:
    def __init__(self, path, headers, connection, data):
        self.path, self.headers, self.connection, self.data = path, headers, connection, data
        parts = path.lstrip("/").split("/")
        self.mode = parts[0]
        self.argument = parts[1] if len(parts) > 1 else ""
        match = re.fullmatch(r"bytes=(\d+)-(\d+)", headers.get("range", ""))
        self.first, self.last = (int(match[1]), min(int(match[2]), len(data) - 1)) if match else (None, None)

    def send(self, text):
        self.connection.sendall(text if isinstance(text, bytes) else text.encode())

    def head(self, status, **headers):
        lines = [f"HTTP/1.1 {status} Whatever"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items() if value is not None]
        self.send("\r\n".join(lines) + "\r\n\r\n")

    def part_headers(self):
        return {
            "Content_Range": f"bytes {self.first}-{self.last}/{len(self.data)}",
            "Content_Length": self.last - self.first + 1,
            "ETag": ETAG,
            "Last_Modified": MODIFIED,
        }

    def part(self, body=None, status=206, **changes):
        """The right answer, but for `changes` of its headers (None removes one) and `body`."""
        if self.first is None:
            return self.whole()
        if self.first >= len(self.data):
            self.head(416, Content_Range=f"bytes */{len(self.data)}", Content_Length=0, ETag=ETAG)
            return True
        self.head(status, **{**self.part_headers(), **changes})
        self.send(self.data[self.first : self.last + 1] if body is None else body)
        return True

    def whole(self, **changes):
        self.head(200, **{"Content_Length": len(self.data), "ETag": ETAG, "Last_Modified": MODIFIED, **changes})
        self.send(self.data)
        return True


# Each mode answers one request; true keeps the connection.
def good(request):
    return request.part()


def whole(request):
    return request.whole()


MODES = {"good": good, "whole": whole}


def read_request(stream):
    line = stream.readline(65536).decode("latin-1")
    if not line:
        return None, None
    headers = {}
    while True:
        header = stream.readline(65536).decode("latin-1").strip()
        if not header:
            return line.split()[1], headers
        name, _, value = header.partition(":")
        headers[name.lower()] = value.strip()


def serve(connection, data, log):
    stream = connection.makefile("rb")
    with connection:
        while True:
            path, headers = read_request(stream)
            if path is None:
                return
            request = Request(path, headers, connection, data)
            log(f"{path} {headers.get('range', '-')} {headers.get('if-range', '-')}")
            if not MODES[request.mode](request):
                return


def accept_all(listener, data, log, context):
    def one(connection):
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if context:
                connection = context.wrap_socket(connection, server_side=True)
            serve(connection, data, log)
        except OSError:
            pass  # the other side had enough

    while True:
        connection, _ = listener.accept()
        threading.Thread(target=one, args=(connection,), daemon=True).start()


def main():
    with open(sys.argv[1], "rb") as file:
        data = file.read()
    context = None
    if "--tls" in sys.argv:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        at = sys.argv.index("--tls")
        context.load_cert_chain(sys.argv[at + 1], sys.argv[at + 2])
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    output_lock = threading.Lock()

    def log(line):
        with output_lock:
            print(line, flush=True)

    log(str(listener.getsockname()[1]))
    threading.Thread(target=accept_all, args=(listener, data, log, context), daemon=True).start()
    sys.stdin.read()


if __name__ == "__main__":
    main()
