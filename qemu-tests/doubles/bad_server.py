#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# A web server that misbehaves on purpose, for tests of webops-fetch. It serves one file; the path says how: /MODE/ARGUMENT/… (the table MODES
# below). Prints its port, and ends with its standard input.
"""bad_server.py FILE LOG [--tls CERT.pem KEY.pem [--old-tls]]      LOG: one line per request: path, Range, If-Range"""
import gzip
import os
import re
import socket
import ssl
import sys
import threading
import time
import urllib.parse

ETAG = '"one"'
MODIFIED = "Sat, 01 Nov 2025 00:00:00 GMT"
HOLD_SECONDS = 20  # longer than any patience in a test

counters_lock = threading.Lock()
counters = {}


def count(key):
    """How often this was called with `key`, this call included."""
    with counters_lock:
        counters[key] = counters.get(key, 0) + 1
        return counters[key]


class Request:
    def __init__(self, path, headers, connection, data):
        self.path, self.headers, self.connection, self.data = path, headers, connection, data
        self.mode, *self.arguments = [urllib.parse.unquote(part) for part in path.lstrip("/").split("/")]
        match = re.fullmatch(r"bytes=(\d+)-(\d+)", headers.get("range", ""))
        self.first, self.last = (int(match[1]), min(int(match[2]), len(data) - 1)) if match else (None, None)

    def number(self, index=0):
        return int(self.arguments[index])

    def body(self):
        return self.data[self.first : self.last + 1] if self.first is not None else self.data

    def send(self, text):
        self.connection.sendall(text if isinstance(text, bytes) else text.encode("latin-1"))

    def head(self, status, **headers):
        """Headers with the value None are left out."""
        lines = [f"HTTP/1.1 {status} Whatever"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items() if value is not None]
        self.send("\r\n".join(lines) + "\r\n\r\n")
        return True

    def part_head(self, **changes):
        return self.head(
            206,
            **{
                "Content_Range": f"bytes {self.first}-{self.last}/{len(self.data)}",
                "Content_Length": self.last - self.first + 1,
                "ETag": ETAG,
                "Last_Modified": MODIFIED,
                **changes,
            },
        )

    def part(self, body=None, **changes):
        """The right answer, but for `changes` of its headers and `body`."""
        if self.first is None:
            return self.whole()
        if self.first >= len(self.data):
            return self.head(416, Content_Range=f"bytes */{len(self.data)}", Content_Length=0, ETag=ETAG)
        self.part_head(**changes)
        self.send(self.body() if body is None else body)
        return True

    def whole(self, body=None, **changes):
        self.head(200, **{"Content_Length": len(self.data), "ETag": ETAG, "Last_Modified": MODIFIED, **changes})
        self.send(self.data if body is None else body)
        return True

    def hold(self):
        time.sleep(HOLD_SECONDS)
        return False

    def forever(self, piece):
        while True:
            self.send(piece)


CONTENT_RANGES = {
    "shifted": "bytes {next}-{last}/{total}",
    "earlier": "bytes 0-{last}/{total}",
    "longer": "bytes {first}-{behind}/{total}",
    "shorter": "bytes {first}-{before}/{total}",
    "star": "bytes {first}-{last}/*",
    "unsatisfied": "bytes */{total}",
    "none": None,
    "empty": "",
    "negative": "bytes -{first}-{last}/{total}",
    "minus": "bytes {first}--{last}/{total}",
    "greatest": "bytes {first}-9223372036854775806/9223372036854775807",
    "overflow": "bytes 18446744073709551616{first}-{last}/{total}",
    "wrapped": "bytes {wrapped}-{last}/{total}",
    "spaces": "bytes {first} - {last} / {total}",
    "unit": "octets {first}-{last}/{total}",
    "hexadecimal": "bytes 0x{first}-{last}/{total}",
    "small-total": "bytes {first}-{last}/{last}",
    "behind": "bytes {first}-{last}/{total}, bytes 0-1/2",
    "twice": "bytes {first}-{last}/{total}\r\nContent-Range: bytes 0-1/{total}",
}


def content_range(request):
    values = {
        "first": request.first,
        "last": request.last,
        "total": len(request.data),
        "next": request.first + 1,
        "before": request.last - 1,
        "behind": request.last + 1,
        "wrapped": request.first + 2**64,
    }
    text = CONTENT_RANGES[request.arguments[0]]
    return request.part(Content_Range=text.format(**values) if text is not None else None)


def content_length(request):
    size = request.last - request.first + 1
    values = {"short": size - 1, "long": size + 1, "text": "many", "negative": -size, "twice": f"{size}\r\nContent-Length: {size + 1}"}
    return request.part(Content_Length=values[request.arguments[0]]) and False


def chunk(data):
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


def chunked(request):
    body = request.body()
    bodies = {
        "right": chunk(body[:1000]) + chunk(body[1000:]) + b"0\r\n\r\n",
        "trailer": chunk(body) + b"0\r\nContent-Range: bytes 0-0/1\r\nETag: none\r\n\r\n",
        "early": chunk(body[: max(len(body) // 2, 4000)]) + b"0\r\n\r\n",
        "late": chunk(body) + chunk(b"x") + b"0\r\n\r\n",
        "overflow": b"fffffffffffffffff\r\n" + body,
        "negative": b"-5\r\n" + body,
        "both": chunk(body) + b"0\r\n\r\n",
    }
    case = request.arguments[0]
    length = len(body) if case == "both" else None
    return request.part(bodies[case], Transfer_Encoding="chunked", Content_Length=length)


def multipart(request):
    boundary = "b" * 80
    body = b"".join(
        f"\r\n--{boundary}\r\nContent-Range: bytes {first}-{first + 9}/{len(request.data)}\r\n\r\n".encode() + request.data[first : first + 10]
        for first in (request.first + 100, request.first)
    )
    return request.part(body, Content_Type=f"multipart/byteranges; boundary={boundary}", Content_Length=len(body), Content_Range=None)


def coding(request):
    body = gzip.compress(request.body())
    return request.part(body, Content_Encoding=request.arguments[0], Content_Length=len(body))


def page(request):
    body = b"<html>Please log in to this network.</html>"
    status = request.number()
    if status == 206:
        return request.part(Content_Type="text/html; charset=utf-8")
    return request.head(status, Content_Type="text/html", Content_Length=len(body)) and request.send(body) is None


def changing(request):
    """The second and later answers are of another file, in one respect."""
    changes = {
        "etag": {"ETag": '"two"'},
        "date": {"Last_Modified": "Sun, 02 Nov 2025 00:00:00 GMT", "ETag": None},
        "total": {"Content_Range": f"bytes {request.first}-{request.last}/{len(request.data) + 1}"},
    }
    is_first = count(request.path) == 1
    return request.part(**({} if is_first else changes[request.arguments[0]]))


def replaced(request):
    """Honours If-Range: from the second request on the file is another one."""
    if count(request.path) == 1:
        return request.part()
    if request.headers.get("if-range") == ETAG:
        return request.whole(ETag='"two"')
    return request.part(ETag='"two"')


def cut(request):
    """Closes after so many bytes of each body."""
    limit = request.number()
    body = request.body()
    request.part(body[:limit])
    return len(body) <= limit


def cut_once(request):
    """Closes once, behind this byte of the file."""
    at = request.number() - (request.first or 0)
    is_here = 0 <= at < len(request.body()) and count(request.path) == 1
    request.part(request.body()[:at] if is_here else None)
    return not is_here


def cut_whole(request):
    """Knows no ranges, and closes in the middle the first so many times."""
    is_cut = count(request.path) <= request.number()
    request.whole(request.data[: len(request.data) // 2] if is_cut else None)
    return not is_cut


def slow(request):
    request.part_head()
    for byte in request.body():
        request.send(bytes([byte]))
        time.sleep(0.1)
    return True


def hold(request):
    if request.arguments[0] == "head":
        return request.hold()
    if request.arguments[0] == "header":
        request.send("HTTP/1.1 206 Slow\r\nX: ")
        while True:
            request.send("x")
            time.sleep(0.1)
    request.part_head()
    request.send(request.body()[: request.number(1)])
    return request.hold()


def endless(request):
    case = request.arguments[0]
    if case == "body":
        request.part_head(Content_Length=None)
        request.send(request.body())
        request.forever(b"x" * 65536)
    elif case == "whole":
        request.head(200)
        request.send(request.data)
        request.forever(b"x" * 65536)
    elif case == "error":
        request.head(503)
        request.forever(b"x" * 65536)
    elif case == "chunked":
        request.head(200, Transfer_Encoding="chunked")
        request.forever(chunk(b"x" * 65536))
    elif case == "headers":
        request.send("HTTP/1.1 206 Endless\r\n")
        request.forever("X-Header: yes\r\n" * 100)
    elif case == "header":
        request.send("HTTP/1.1 206 Endless\r\nX-Header: ")
        request.forever("x" * 65536)
    elif case == "continue":
        request.forever("HTTP/1.1 100 Continue\r\n\r\n")
    return False


def large_header(request):
    return request.part(**{"X_Header": "x" * request.number()})


def many_headers(request):
    return request.part(**{f"X_Header_{index}": "x" for index in range(request.number())})


def redirect(request):
    """/redirect/N/MODE…: N hops, then /MODE…"""
    hops = request.number()
    rest = "/".join(request.arguments[1:])
    location = f"/redirect/{hops - 1}/{rest}" if hops > 1 else f"/{rest}"
    return request.head(302, Location=location, Content_Length=0)


def to(request):
    """/to/STATUS/ADDRESS"""
    return request.head(request.number(), Location=request.arguments[1] or None, Content_Length=0)


def status(request):
    """/status/CODE/TIMES[/RETRY-AFTER]: so often an error, then right."""
    if count(request.path) > request.number(1):
        return request.part()
    retry = request.arguments[2] if len(request.arguments) > 2 else None
    request.head(request.number(), Content_Length=5, Retry_After=retry)
    request.send("error")
    return True


def then_whole(request):
    """Ranges at first, none later; the file is the same."""
    return request.part() if count(request.path) <= request.number() else request.whole()


def flipped(request):
    """One bit of the file's byte 1000 is wrong."""
    body = bytearray(request.body())
    if request.first <= 1000 <= request.last:
        body[1000 - request.first] ^= 1
    return request.part(bytes(body))


def sequence_of(*modes):
    """The first, second, … request in these modes."""

    def mode(request):
        return modes[min(count(request.path), len(modes)) - 1](request)

    return mode


together_lock = threading.Condition()
together_arrived = {}
together_open = {}


def together(request):
    """/together/N: behind the first request, the first N wait for each other, and of them the earlier in the file is answered later. More
    than N at once are an error."""
    if count(request.path) == 1:
        return request.part()
    with together_lock:
        arrived = together_arrived.setdefault(request.path, [])
        arrived.append(request.first)
        together_open[request.path] = together_open.get(request.path, 0) + 1
        together_lock.notify_all()
        is_in_time = together_lock.wait_for(lambda: len(arrived) >= request.number(), HOLD_SECONDS)
        delay = 0.05 * (1 + sum(first > request.first for first in arrived[: request.number()]))
    time.sleep(delay)
    with together_lock:
        is_right = is_in_time and together_open[request.path] <= request.number()
        together_open[request.path] -= 1
    return request.part() if is_right else request.head(404, Content_Length=0)


def raw(request):
    request.send(request.arguments[0].encode("latin-1"))
    return False


MODES = {
    "good": lambda request: request.part(),
    "plain": lambda request: request.part(ETag=None, Last_Modified=None),
    "weak": lambda request: request.part(ETag='W/"one"'),
    "close": lambda request: request.part(Connection="close") and False,
    "whole": lambda request: request.whole(),
    "whole-unknown": lambda request: request.whole(Content_Length=None) and False,
    "whole-html": lambda request: request.whole(Content_Type="text/html"),
    "whole-range": lambda request: request.whole(Content_Range="bytes 0-9/10"),
    "whole-short": lambda request: request.whole(Content_Length=len(request.data) + 1) and False,
    "no-range-416": lambda request: request.head(416, Content_Length=0),
    "gone": sequence_of(Request.part, lambda request: request.head(404, Content_Length=0)),
    "range": content_range,
    "length": content_length,
    "chunked": chunked,
    "multipart": multipart,
    "coding": coding,
    "page": page,
    "changing": changing,
    "replaced": replaced,
    "cut": cut,
    "cut-once": cut_once,
    "cut-whole": cut_whole,
    "slow": slow,
    "hold": hold,
    "endless": endless,
    "large-header": large_header,
    "many-headers": many_headers,
    "redirect": redirect,
    "to": to,
    "status": status,
    "then-whole": then_whole,
    "flipped": flipped,
    "raw": raw,
    "together": together,
}


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
    with connection, connection.makefile("rb") as stream:
        while True:
            path, headers = read_request(stream)
            if path is None:
                return
            log(f"{path} {headers.get('range', '-')} {headers.get('if-range', '-')}")
            request = Request(path, headers, connection, data)
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


def tls_context():
    if "--tls" not in sys.argv:
        return None
    at = sys.argv.index("--tls")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[at + 1], sys.argv[at + 2])
    if "--old-tls" in sys.argv:
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    return context


def main():
    with open(sys.argv[1], "rb") as file:
        data = file.read()
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)

    log_file = os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def log(line):
        os.write(log_file, f"{line}\n".encode())  # whole lines, also from several threads

    print(listener.getsockname()[1], flush=True)
    threading.Thread(target=accept_all, args=(listener, data, log, tls_context()), daemon=True).start()
    sys.stdin.read()


if __name__ == "__main__":
    main()
