#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A double of a web server of plain files, for tests of webops-flash: whole files, and the rest of a file from a byte on (RFC 9110, 14), and nothing else.

Usage: image_server.py DIRECTORY [CERTIFICATE KEY]. Prints its port; ends with its standard input. What it does not know is an error: another method than
GET, a body, any other form of Range. DIRECTORY/fault holds what goes wrong: "cut BYTES" (each answer ends after so many bytes of its body) or "hold BYTES"
(it stops there, and goes on with nothing); DIRECTORY/log gets a line per request: path, Range, If-Range.
"""
import http.server
import re
import shutil
import ssl
import sys
import threading
import time
from pathlib import Path

HOLD_SECONDS = 120  # longer than any test waits


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    directory = Path()

    def log_message(self, *_):
        pass

    def refuse(self, status):
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def limit(self):
        try:
            what, size = (self.directory / "fault").read_text(encoding="ascii").split()
        except OSError:
            return None, 1 << 62
        assert what in ("cut", "hold")
        return what, int(size)

    def send_body(self, file, size):
        what, most = self.limit()
        left = min(size, most)
        while left > 0:
            piece = file.read(min(left, 1 << 20))
            self.wfile.write(piece)
            left -= len(piece)
        if what == "hold" and most < size:
            self.wfile.flush()
            time.sleep(HOLD_SECONDS)
        self.close_connection = True

    def do_GET(self):
        wanted = self.headers.get("Range", "")
        with open(self.directory / "log", "a", encoding="utf-8") as log:
            log.write(f"{self.path} {wanted} {self.headers.get('If-Range', '')}\n")
        path = self.directory / self.path.lstrip("/")
        match = re.fullmatch(r"bytes=([0-9]+)-", wanted)
        if "Content-Length" in self.headers or "/" in self.path[1:] or (wanted and not match):
            return self.refuse(400)
        if not path.is_file():
            return self.refuse(404)
        size = path.stat().st_size
        etag = f'"{size:x}-{path.stat().st_mtime_ns:x}"'
        first = int(match[1]) if match and self.headers.get("If-Range", etag) == etag else None
        if first is not None and first >= size:
            return self.refuse(416)
        self.send_response(200 if first is None else 206)
        if first is not None:
            self.send_header("Content-Range", f"bytes {first}-{size - 1}/{size}")
        self.send_header("Content-Length", str(size - (first or 0)))
        self.send_header("ETag", etag)
        self.end_headers()
        with open(path, "rb") as file:
            file.seek(first or 0)
            return self.send_body(file, size - (first or 0))


def main():
    Handler.directory = Path(sys.argv[1])
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # clients that were killed
    if len(sys.argv) > 2:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(sys.argv[2], sys.argv[3])
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_address[1], flush=True)
    shutil.copyfileobj(sys.stdin, open("/dev/null", "w", encoding="ascii"))  # noqa: SIM115


if __name__ == "__main__":
    main()
