# SPDX-License-Identifier: Apache-2.0
"""A double of the Hetzner Cloud metadata service: one HTTP/1.1 request on standard input, one answer on standard output.

Usage: hetzner_metadata.py DIRECTORY LOG. The directory holds `user-data` and `hostname`. It is stricter than the real service: whatever a
careful client would not send is refused with 400 and written to the log with the word "refused". It does not pretend to be anything else
of that service.
"""
import re
import sys
from pathlib import Path

MAX_HEAD = 8192


def read_head(stream):
    head = b""
    while b"\r\n\r\n" not in head:
        byte = stream.read(1)
        if not byte or len(head) == MAX_HEAD:
            return None
        head += byte
    return head.decode("ascii", "strict")


def problem(method, path, version, headers):
    if method != "GET":
        return "only GET"
    if version != "HTTP/1.1":
        return "only HTTP/1.1"
    if headers.get("host", "") != "169.254.169.254":
        return "wrong or missing Host"
    if not headers.get("user-agent"):
        return "no User-Agent"
    if "content-length" in headers or "transfer-encoding" in headers:
        return "a GET has no body"
    if ".." in path or not path.startswith("/hetzner/v1/"):
        return "not a metadata path"
    return None


def documents(directory):
    def text(name):
        path = directory / name
        return path.read_text() if path.exists() else None

    hostname = text("hostname") or "double"
    return {
        "/hetzner/v1/userdata": text("user-data"),
        "/hetzner/v1/metadata/hostname": hostname,
        "/hetzner/v1/metadata/instance-id": "4242",
        "/hetzner/v1/metadata": f"hostname: {hostname}\ninstance-id: 4242\nregion: test\n",
    }


def answer(status, reason, body, kind="text/plain; charset=utf-8"):
    data = body.encode()
    head = f"HTTP/1.1 {status} {reason}\r\nContent-Type: {kind}\r\nContent-Length: {len(data)}\r\nConnection: close\r\nServer: webops-test-double\r\n\r\n"
    sys.stdout.buffer.write(head.encode() + data)
    sys.stdout.buffer.flush()


def main(directory, log):
    head = read_head(sys.stdin.buffer)
    if head is None:
        return
    lines = head.split("\r\n")
    match = re.fullmatch(r"([A-Z]+) (\S+) (HTTP/\d\.\d)", lines[0])
    headers = dict((line.split(":", 1)[0].lower(), line.split(":", 1)[1].strip()) for line in lines[1:] if ":" in line)
    why = problem(*match.groups(), headers) if match else "no HTTP request line"
    with open(log, "a", encoding="utf-8") as file:
        file.write(f"{lines[0]}{' refused: ' + why if why else ''}\n")
    if why:
        answer(400, "Bad Request", f"double: {why}\n")
        return
    body = documents(Path(directory)).get(match[2])
    if body is None:
        answer(404, "Not Found", "double: not found\n")
    else:
        answer(200, "OK", body)


if __name__ == "__main__":
    main(*sys.argv[1:3])
