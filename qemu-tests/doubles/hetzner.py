#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A double of Hetzner Cloud's API: what uploading an image through a server in rescue mode needs, and nothing else.

Usage: hetzner.py DIRECTORY CERTIFICATE KEY RESCUE. Prints its port; ends with its standard input. It is strict: a parameter, field, value or
path that it does not know is an error in the API's own form. A server that is switched on in rescue mode is a real SSH server with the server's disk
(hetzner_rescue.py; RESCUE is "qemu": a virtual machine, or "namespace": this machine's programs around a file); its address is one of 127.0.10.0/24.
Actions take a moment, and lock their server meanwhile. A snapshot is a copy of the server's disk.

DIRECTORY: token (what is let in), limit (of servers; 10); disks are in disks/, snapshots in images/, everything else in state.json, every request in log.
A file `fault` holds faults for the next requests that match, one per line: "METHOD REGEX WHAT", WHAT being "STATUS CODE" (refused), "drop" (before the work),
"done-then-drop" (after it), "cut" (in the answer's body), "hang" and "done-then-hang" (no answer; the file `hung` appears), or "action MESSAGE" (the action fails).
A file `ssh-fault` with a number cuts the next SSH connection off after so many bytes.
"""
import http.server
import json
import re
import shutil
import ssl
import subprocess
import sys
import threading
import time
import urllib.parse
from pathlib import Path

from hetzner_rescue import RESCUES

ACTION_SECONDS = 0.05
GIGABYTE = 1 << 30
LOCATIONS = [{"id": number, "name": name, "description": city, "country": country, "city": city, "latitude": 50.0, "longitude": 12.0, "network_zone": zone}
             for number, name, city, country, zone in ((1, "fsn1", "Falkenstein", "DE", "eu-central"), (2, "nbg1", "Nuremberg", "DE", "eu-central"), (3, "ash", "Ashburn", "US", "us-east"))]


def server_type(number, name, architecture, disk, prices, deprecated=False):
    gone = {"announced": "2025-01-01T00:00:00+00:00", "unavailable_after": "2027-01-01T00:00:00+00:00"} if deprecated else None
    return {"id": number, "name": name, "description": name.upper(), "cores": 2, "memory": 4.0, "disk": disk, "architecture": architecture, "cpu_type": "shared", "storage_type": "local",
            "deprecated": deprecated, "deprecation": gone, "included_traffic": 0,
            "prices": [{"location": location, "price_hourly": {"net": hourly, "gross": hourly}, "price_monthly": {"net": "3.0", "gross": "3.57"}} for location, hourly in prices.items()]}


TYPES = [server_type(11, "cx11", "x86", 20, {"fsn1": "0.0040"}, deprecated=True), server_type(45, "cax11", "arm", 40, {"fsn1": "0.0030", "nbg1": "0.0030"}),
         server_type(114, "cx23", "x86", 40, {"fsn1": "0.0060", "nbg1": "0.0058"}), server_type(115, "cx33", "x86", 80, {"fsn1": "0.0090", "nbg1": "0.0090"}),
         server_type(116, "ccx1", "x86", 1, {"nbg1": "0.0500"}), server_type(22, "cpx11", "x86", 40, {"ash": "0.0080"})]


def system_image(number, flavor, version, architecture):
    return {"id": number, "type": "system", "status": "available", "name": f"{flavor}-{version}", "description": f"{flavor} {version}", "image_size": None, "disk_size": 5,
            "created": "2026-01-01T00:00:00+00:00", "created_from": None, "bound_to": None, "os_flavor": flavor, "os_version": version, "rapid_deploy": True,
            "protection": {"delete": False}, "deprecated": None, "deleted": None, "labels": {}, "architecture": architecture}


SYSTEM = [system_image(67794396, "ubuntu", "24.04", "x86"), system_image(114690387, "debian", "12", "x86"), system_image(114690389, "debian", "12", "arm")]
NAME = r"[a-zA-Z0-9]([a-zA-Z0-9.-]{0,61}[a-zA-Z0-9])?"
LABEL = r"[a-zA-Z0-9]([a-zA-Z0-9._-]{0,61}[a-zA-Z0-9])?"


def is_labels(value):
    return isinstance(value, dict) and all(re.fullmatch(LABEL, key) and (word == "" or re.fullmatch(LABEL, word)) for key, word in value.items())


def is_ids(value):
    return isinstance(value, list) and all(isinstance(item, int) for item in value)


def is_text(pattern):
    return lambda value: isinstance(value, str) and re.fullmatch(pattern, value)


def is_public_net(value):
    return isinstance(value, dict) and not set(value) - {"enable_ipv4", "enable_ipv6"} and all(isinstance(item, bool) for item in value.values())


# Of each POST: fields that must be there, and fields that may; each with what its value must be.
BODIES = {
    "ssh_keys": ({"name": is_text(r".{1,255}"), "public_key": is_text(r"(ssh-(rsa|ed25519)|ecdsa-\S+) [A-Za-z0-9+/=]+( .*)?\n?")}, {"labels": is_labels}),
    "servers": ({"name": is_text(NAME), "server_type": lambda value: isinstance(value, (str, int)), "image": lambda value: isinstance(value, (str, int))},
                {"location": is_text(r"\w+"), "ssh_keys": is_ids, "start_after_create": lambda value: isinstance(value, bool), "labels": is_labels, "public_net": is_public_net,
                 "automount": lambda value: isinstance(value, bool)}),
    "change": ({}, {"name": is_text(NAME), "labels": is_labels}),
    "enable_rescue": ({}, {"type": is_text("linux64"), "ssh_keys": is_ids}),
    "create_image": ({}, {"type": is_text("snapshot|backup"), "description": is_text(r".{0,255}"), "labels": is_labels}),
    "poweron": ({}, {}), "poweroff": ({}, {}), "shutdown": ({}, {}),
}
PAGES = {"page", "per_page", "sort"}
QUERIES = {"locations": PAGES | {"name"}, "server_types": PAGES | {"name"}, "servers": PAGES | {"name", "label_selector", "status"},
           "ssh_keys": PAGES | {"name", "label_selector", "fingerprint"},
           "images": PAGES | {"name", "label_selector", "type", "status", "architecture", "include_deprecated", "bound_to"}, "actions": PAGES | {"id", "status"}}


class Refused(Exception):
    def __init__(self, status, code, message, fields=None):
        super().__init__(message)
        details = {"fields": [{"name": name, "messages": [text]} for name, text in fields.items()]} if fields else None
        self.status, self.error = status, {"code": code, "message": message, "details": details}


class Project:
    def __init__(self, directory, rescue):
        self.dir, self.lock, self.rescue = Path(directory), threading.RLock(), rescue
        self.due, self.running, self.next = [], {}, 1000
        self.things = {"servers": [], "ssh_keys": [], "images": list(SYSTEM), "actions": [], "locations": LOCATIONS, "server_types": TYPES}
        for name in ("disks", "images"):
            (self.dir / name).mkdir(exist_ok=True)

    def save(self):
        part = self.dir / "state.part"
        part.write_text(json.dumps({name: self.things[name] for name in ("servers", "ssh_keys", "images", "actions")}))
        part.rename(self.dir / "state.json")

    def text(self, name, default=""):
        path = self.dir / name
        return path.read_text().strip() if path.exists() else default

    def fault(self, method, path, kinds):
        lines = self.text("fault").splitlines()
        for number, line in enumerate(lines):
            words = line.split(" ", 2)
            if words[0] == method and re.search(words[1], path) and re.match(kinds, words[2]):
                (self.dir / "fault").write_text("\n".join(lines[:number] + lines[number + 1 :]))
                return words[2]
        return None

    def number(self):
        self.next += 1
        return self.next

    def settle(self):
        """What has taken its time is done."""
        now = time.monotonic()
        for item in [item for item in self.due if item[0] <= now]:
            self.due.remove(item)
            _, action, work = item
            if action["status"] == "running":
                work()
                action.update(status="success", progress=100, finished="2026-01-01T00:00:01+00:00")
        for server in self.things["servers"]:
            server["locked"] = any(action["status"] == "running" and action["resources"][0]["id"] == server["id"] for action in self.things["actions"])

    def act(self, command, server, work, failure=None):
        action = {"id": self.number(), "command": command, "status": "running", "progress": 0, "started": "2026-01-01T00:00:00+00:00", "finished": None,
                  "resources": [{"id": server["id"], "type": "server"}], "error": None}
        self.things["actions"].append(action)
        server["locked"] = True
        if failure:
            action.update(status="error", error={"code": "action_failed", "message": failure})
        else:
            self.due.append((time.monotonic() + ACTION_SECONDS, action, work))
        return action

    def disk(self, server):
        return self.dir / "disks" / f"{server['id']}.raw"

    def start(self, server):
        if server["status"] == "running":
            return
        server["status"] = "running"
        if server["rescue_enabled"]:
            server["rescue_enabled"] = False  # it holds for one start
            keys = [key["public_key"] for key in self.things["ssh_keys"] if key["id"] in server["_rescue_keys"]]
            self.running[server["id"]] = self.rescue(self.dir, server["public_net"]["ipv4"]["ip"], self.disk(server), keys)

    def stop(self, server):
        server["status"] = "off"
        if server["id"] in self.running:
            self.running.pop(server["id"]).close()

    def close(self):
        for system in self.running.values():
            system.close()


def selects(selector, labels):
    for part in filter(None, selector.split(",")):
        match = re.fullmatch(rf"({LABEL})(?:==?({LABEL}))?", part)
        if not match:
            raise Refused(422, "invalid_input", "invalid input in field 'label_selector'", {"label_selector": "cannot be read"})
        key, value = match[1], match[3]
        if key not in labels or value is not None and labels[key] != value:
            return False
    return True


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    project = None  # of the server

    def log_message(self, *_):
        pass

    def answer(self, status, body, cut=False):
        text = json.dumps(body, default=str).encode() if body is not None else b""
        self.send_response(status)
        if body is not None:
            self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.send_header("RateLimit-Limit", "3600")
        self.send_header("RateLimit-Remaining", "3599")
        self.send_header("RateLimit-Reset", str(int(time.time()) + 1))
        self.end_headers()
        self.wfile.write(text[: len(text) // 2] if cut else text)
        if cut:
            self.drop()

    def drop(self):
        self.close_connection = True
        self.connection.close()

    def hang(self):
        (self.project.dir / "hung").touch()
        self.rfile.read(1)  # until the client is gone
        self.drop()

    def handle_request(self):
        url = urllib.parse.urlsplit(self.path)
        project = self.project
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        with project.lock:
            with open(project.dir / "log", "a", encoding="utf-8") as log:
                log.write(f"{self.command} {self.path}\n")
            fault = project.fault(self.command, url.path, r"\d|drop|hang")
        if fault == "drop":
            return self.drop()
        if fault == "hang":
            return self.hang()
        try:
            if fault:
                status, code = fault.split()
                raise Refused(int(status), code, "a fault that was asked for")
            with project.lock:
                project.settle()
                self.authenticate()
                status, body = self.route(url, raw)
                project.save()
                fault = project.fault(self.command, url.path, r"done-then-|cut")
            if fault == "done-then-drop":
                return self.drop()
            if fault == "done-then-hang":
                return self.hang()
            return self.answer(status, body, fault == "cut")
        except Refused as refused:
            return self.answer(refused.status, {"error": refused.error})

    do_GET = do_POST = do_PUT = do_DELETE = handle_request

    def authenticate(self):
        if self.headers.get("Authorization", "") != "Bearer " + self.project.text("token"):
            raise Refused(401, "unauthorized", "unable to authenticate")

    def route(self, url, raw):
        query = dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True, strict_parsing=bool(url.query)))
        if len(query) != len(urllib.parse.parse_qsl(url.query, keep_blank_values=True)):
            raise Refused(422, "invalid_input", "a parameter is given twice")
        for method, pattern, function, has_query in ROUTES:
            match = re.fullmatch("/v1" + pattern, url.path)
            if match and method == self.command:
                if query and not has_query:
                    raise Refused(422, "invalid_input", "invalid input", {next(iter(query)): "unknown parameter"})
                arguments = [query] if has_query else [raw] if method in ("POST", "PUT") else []
                return function(self, *match.groups(), *arguments)
        raise Refused(404, "not_found", "page not found")

    def body(self, raw, kind):
        if self.headers.get("Content-Type", "").split(";")[0] != "application/json" and raw:
            raise Refused(400, "invalid_input", "a body of application/json is expected")
        try:
            given = json.loads(raw or b"{}")
        except ValueError:
            raise Refused(400, "json_error", "invalid JSON") from None
        needed, possible = BODIES[kind]
        fields = {name: "missing data for required field" for name in needed if name not in given}
        fields |= {name: "unknown field" for name in given if name not in needed and name not in possible}
        fields |= {name: "invalid value" for name, check in {**needed, **possible}.items() if name in given and not check(given[name])}
        if fields:
            raise Refused(422, "invalid_input", f"invalid input in field '{next(iter(fields))}'", fields)
        return given

    # What is asked

    def find(self, kind, number):
        for item in self.project.things[kind]:
            if str(item["id"]) == str(number):
                return item
        raise Refused(404, "not_found", f"{kind[:-1]} with ID '{number}' not found")

    def list(self, kind, query):
        unknown = set(query) - QUERIES[kind]
        if unknown:
            raise Refused(422, "invalid_input", "invalid input", {sorted(unknown)[0]: "unknown parameter"})
        page, size = int(query.pop("page", 1)), min(int(query.pop("per_page", 25)), 50)
        query.pop("sort", None)
        query.pop("include_deprecated", None)
        selector = query.pop("label_selector", "")
        items = [item for item in self.project.things[kind] if selects(selector, item.get("labels", {})) and all(str(item.get(key)) == value for key, value in query.items())]
        last = max(1, -(-len(items) // size))
        pagination = {"page": page, "per_page": size, "previous_page": page - 1 if page > 1 else None, "next_page": page + 1 if page < last else None, "last_page": last,
                      "total_entries": len(items)}
        return 200, {kind: [self.shown(item) for item in items[(page - 1) * size : page * size]], "meta": {"pagination": pagination}}

    def get(self, kind, number):
        return 200, {kind[:-1]: self.shown(self.find(kind, number))}

    @staticmethod
    def shown(item):
        return {key: value for key, value in item.items() if not key.startswith("_")}

    # What is done

    def new_key(self, raw):
        given = self.body(raw, "ssh_keys")
        for key in self.project.things["ssh_keys"]:
            if key["name"] == given["name"] or key["public_key"].split()[1] == given["public_key"].split()[1]:
                raise Refused(409, "uniqueness_error", "SSH key not unique", {"name" if key["name"] == given["name"] else "public_key": "is already used"})
        told = subprocess.run(["ssh-keygen", "-l", "-E", "md5", "-f", "-"], input=given["public_key"], text=True, stdout=subprocess.PIPE, check=True).stdout
        key = {"id": self.project.number(), "name": given["name"], "fingerprint": told.split()[1][4:], "public_key": given["public_key"], "labels": given.get("labels", {}),
               "created": "2026-01-01T00:00:00+00:00"}
        self.project.things["ssh_keys"].append(key)
        return 201, {"ssh_key": key}

    def pick(self, kind, word, field):
        for item in self.project.things[kind]:
            if word in (item["id"], item["name"]) or str(item["id"]) == word:
                return item
        raise Refused(422, "invalid_input", f"invalid input in field '{field}'", {field: "not found"})

    def new_server(self, raw):
        given, project = self.body(raw, "servers"), self.project
        kind, image = self.pick("server_types", given["server_type"], "server_type"), self.pick("images", given["image"], "image")
        location = self.pick("locations", given.get("location", "fsn1"), "location")
        for number in given.get("ssh_keys", []):
            self.pick("ssh_keys", number, "ssh_keys")
        if kind["architecture"] != image["architecture"]:
            raise Refused(422, "invalid_input", "image architecture does not fit the server type", {"image": "invalid"})
        if location["name"] not in [price["location"] for price in kind["prices"]]:
            raise Refused(422, "invalid_input", "unsupported location for server type", {"location": "unsupported"})
        if any(server["name"] == given["name"] for server in project.things["servers"]):
            raise Refused(409, "uniqueness_error", "server name is already used", {"name": "is already used"})
        if len(project.things["servers"]) >= int(project.text("limit", "10")):
            raise Refused(403, "resource_limit_exceeded", "server limit exceeded")
        number = project.number()
        taken = {server["public_net"]["ipv4"]["ip"] for server in project.things["servers"]}
        address = next(f"127.0.10.{host}" for host in range(1, 255) if f"127.0.10.{host}" not in taken)
        server = {"id": number, "name": given["name"], "status": "initializing", "created": "2026-01-01T00:00:00+00:00", "server_type": kind, "image": image, "iso": None,
                  "datacenter": {"id": 4, "name": location["name"] + "-dc14", "description": "", "location": location, "server_types": {"supported": [], "available": [], "available_for_migration": []}},
                  "public_net": {"ipv4": {"ip": address, "blocked": False, "dns_ptr": ""}, "ipv6": {"ip": "2001:db8::/64", "blocked": False, "dns_ptr": []}, "floating_ips": [], "firewalls": []},
                  "private_net": [], "rescue_enabled": False, "locked": False, "backup_window": None, "outgoing_traffic": 0, "ingoing_traffic": 0, "included_traffic": 0,
                  "protection": {"delete": False, "rebuild": False}, "labels": given.get("labels", {}), "volumes": [], "load_balancers": [], "primary_disk_size": kind["disk"], "_rescue_keys": []}
        with open(project.disk(server), "wb") as disk:  # what the base image has on it must not show through
            disk.truncate(kind["disk"] * GIGABYTE)
            for offset in (0, 5 << 20, 17 << 20, 40 << 20):
                disk.seek(offset)
                disk.write(b"what was there before" * 4096)
        project.things["servers"].append(server)

        def made():
            server["status"] = "off"
            if given.get("start_after_create", True):
                project.start(server)

        action = project.act("create_server", server, made, self.action_fault())
        return 201, {"server": self.shown(server), "action": action, "next_actions": [], "root_password": None if given.get("ssh_keys") else "root-password-canary"}

    def change_server(self, number, raw):
        server = self.find("servers", number)
        server.update(self.body(raw, "change"))
        return 200, {"server": self.shown(server)}

    def action_fault(self):
        failure = self.project.fault(self.command, urllib.parse.urlsplit(self.path).path, "action ")
        return failure and failure[7:]

    def unlocked(self, number):
        server = self.find("servers", number)
        if server["locked"]:
            raise Refused(423, "locked", "server is locked")
        return server

    def enable_rescue(self, number, raw):
        given, server = self.body(raw, "enable_rescue"), self.unlocked(number)
        if server["rescue_enabled"]:
            raise Refused(409, "conflict", "rescue mode is enabled already")
        for key in given.get("ssh_keys", []):
            self.find("ssh_keys", key)

        def enabled():
            server.update(rescue_enabled=True, _rescue_keys=given.get("ssh_keys", []))

        return 201, {"action": self.project.act("enable_rescue", server, enabled, self.action_fault()), "root_password": "root-password-canary"}

    def power(self, number, what, raw):
        server = self.unlocked(number)
        self.body(raw, what)
        work = self.project.start if what == "poweron" else self.project.stop
        return 201, {"action": self.project.act(f"{what}_server", server, lambda: work(server), self.action_fault())}

    def create_image(self, number, raw):
        given, server, project = self.body(raw, "create_image"), self.unlocked(number), self.project
        image = {**system_image(project.number(), "unknown", None, server["server_type"]["architecture"]), "type": given.get("type", "snapshot"), "status": "creating", "name": None,
                 "description": given.get("description", ""), "labels": given.get("labels", {}), "disk_size": server["server_type"]["disk"], "rapid_deploy": False,
                 "created_from": {"id": server["id"], "name": server["name"]}}
        project.things["images"].append(image)

        def copied():
            if server["status"] != "off":  # the real one would make one that is not consistent
                raise AssertionError("a snapshot of a server that runs")
            subprocess.run(["cp", "--sparse=auto", project.disk(server), project.dir / "images" / f"{image['id']}.raw"], check=True)
            image.update(status="available", image_size=0.5)

        failure = self.action_fault()
        if failure:
            image["status"] = "unavailable"
        return 201, {"image": image, "action": project.act("create_image", server, copied, failure)}

    def delete_server(self, number):
        server, project = self.unlocked(number), self.project
        project.stop(server)
        project.disk(server).unlink()
        action = project.act("delete_server", server, lambda: None)
        project.things["servers"].remove(server)
        return 200, {"action": action}

    def delete_thing(self, kind, number):
        item = self.find(kind, number)
        if kind == "images" and item["type"] == "system":
            raise Refused(403, "protected", "system images cannot be deleted")
        self.project.things[kind].remove(item)
        (self.project.dir / "images" / f"{number}.raw").unlink(missing_ok=True)
        return 204, None


ROUTES = [  # method, path, what answers, whether it takes a query
    ("GET", r"/(locations|server_types|servers|ssh_keys|images|actions)", Handler.list, True),
    ("GET", r"/(locations|server_types|servers|ssh_keys|images|actions)/(\d+)", Handler.get, False),
    ("POST", r"/ssh_keys", Handler.new_key, False), ("POST", r"/servers", Handler.new_server, False),
    ("POST", r"/servers/(\d+)/actions/enable_rescue", Handler.enable_rescue, False), ("POST", r"/servers/(\d+)/actions/create_image", Handler.create_image, False),
    ("POST", r"/servers/(\d+)/actions/(poweron|poweroff|shutdown)", Handler.power, False),
    ("PUT", r"/servers/(\d+)", Handler.change_server, False), ("DELETE", r"/servers/(\d+)", Handler.delete_server, False), ("DELETE", r"/(ssh_keys|images)/(\d+)", Handler.delete_thing, False),
]


def main():
    directory, certificate, key, rescue = sys.argv[1:]
    Handler.project = Project(directory, RESCUES[rescue])
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *_: None  # a client that goes away is what some tests are about
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_address[1], flush=True)
    sys.stdin.read()
    Handler.project.close()
    shutil.rmtree(Path(directory) / "disks", ignore_errors=True)


if __name__ == "__main__":
    main()
