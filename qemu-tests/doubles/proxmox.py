#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A double of the API of one Proxmox VE node: what uploading an image and making a virtual machine of it need, and nothing else.

Usage: proxmox.py DIRECTORY CERTIFICATE KEY. Prints its port; ends with its standard input. It is as strict as the real one where that is known
(pve-http-server's reader of uploads, parameters that no schema has), stricter elsewhere: whatever it does not know is an error. Nothing is
emulated of what a node does with a disk: an import checks that the image is there and whole, and keeps the parameters. A machine has neither name nor
description until the task that makes it is over, whoever asks about that. An upload is copied to its name piece by piece while its task runs.

DIRECTORY: token (what is let in), version; uploads land in import/ and iso/, machines in vms.json, every request in log. A file `fault` holds
one fault for the next request that matches: "METHOD REGEX WHAT", WHAT being a status, "drop" (before the answer), "cut" (in the body), "wait" (before
the work, until the file `waits`, which appears, is removed), "done-then-drop" (after the work), or "task MESSAGE" (the task of this request fails).
While there is a file `busy`, somebody else's task that makes a machine runs; while there is a file `copying`, an upload's task stays in the middle of
the copy; while there is a file `no-start`, machines cannot be started, for the reason that it holds.
"""
import hashlib
import http.server
import json
import re
import ssl
import subprocess
import sys
import threading
import time
import urllib.parse
from pathlib import Path

NODE = "pve1"
STORAGES = {"local": "iso,vztmpl,import,backup", "local-lvm": "images,rootdir", "small": "images"}
NAMES = {"import": r"[a-zA-Z0-9][a-zA-Z0-9._-]*\.(qcow2|raw|vmdk|ova)", "iso": r"[^/\s]+\.(iso|img)"}
MACHINE = {  # parameter: what its value must look like
    "vmid": r"[1-9][0-9]{2,8}", "name": r"[a-zA-Z0-9]([a-zA-Z0-9.-]*[a-zA-Z0-9])?", "ostype": r"l26", "memory": r"[0-9]+", "cores": r"[1-9][0-9]*",
    "scsihw": r"virtio-scsi-(pci|single)", "scsi0": r"[\w-]+:0,import-from=[\w-]+:import/[\w.-]+,discard=on", "net0": r"virtio,bridge=vmbr[0-9]+", "serial0": r"socket",
    "boot": r"order=scsi0", "ide2": r"[\w-]+:iso/[\w.-]+,media=cdrom", "bios": r"seabios|ovmf", "machine": r"q35",
    "efidisk0": r"[\w-]+:1,efitype=4m,pre-enrolled-keys=0", "start": r"[01]", "description": r"[ -~\n]{1,8192}",
}
BUSY = f"UPID:{NODE}:0000AAAA:00000001:00000001:qmcreate:999:somebody@pam:"


class Refused(Exception):
    def __init__(self, status, message, errors=None):
        super().__init__(message)
        self.status, self.message, self.errors = status, message, errors


class Node:
    def __init__(self, directory):
        self.dir, self.lock, self.tasks = Path(directory), threading.RLock(), {}
        for name in ("import", "iso"):
            (self.dir / name).mkdir(exist_ok=True)

    def text(self, name, default=""):
        path = self.dir / name
        return path.read_text().strip() if path.exists() else default

    def is_busy(self):
        return (self.dir / "busy").exists()

    def machines(self):
        return json.loads(self.text("vms.json", "{}"))

    def fault(self, method, path, kinds):
        words = self.text("fault").split(" ", 2)
        if len(words) == 3 and words[0] == method and re.search(words[1], path) and any(words[2].startswith(kind) or kind == "status" and words[2].isdigit() for kind in kinds):
            (self.dir / "fault").unlink()
            return words[2]
        return None

    def keep(self, machines):
        (self.dir / "vms.json").write_text(json.dumps(machines))

    def start_task(self, kind, failure=None, log=(), begin=lambda: None, finish=lambda: None, volume=None):
        """`begin` is done at the first question, `finish` at the second, when the task stops; what that returns is another failure."""
        upid = f"UPID:{NODE}:{len(self.tasks) + 1:08X}:00000001:{int(time.time()):08X}:{kind}:{'' if kind == 'imgcopy' else 'x'}:root@pam:"
        self.tasks[upid] = {"asked": 0, "failure": failure, "log": list(log), "kind": kind, "steps": [begin, finish], "volume": volume}
        return upid

    def go_on(self, task):
        if task["asked"] == 1 and task["kind"] == "imgcopy" and (self.dir / "copying").exists():
            return
        task["asked"] += 1
        if task["asked"] <= 2:
            task["failure"] = task["steps"][task["asked"] - 1]() or task["failure"]
        if task["asked"] == 2:
            task["log"].append(task["failure"] or "TASK OK")

    def state(self, volume):
        """Of a file; another one when somebody writes to it. None: that is so at this moment."""
        with self.lock:  # a step that is being done is not done
            if any(task["volume"] == volume and task["asked"] < 2 for task in self.tasks.values()):
                return None
        status = (self.dir / volume).stat()
        return status.st_ino, status.st_size, status.st_mtime_ns


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    node = None  # of the server

    def log_message(self, *_):
        pass

    def answer(self, status, data=None, message=None, errors=None):
        body = {"data": data, **({"message": message + "\n"} if message else {}), **({"errors": errors} if errors else {})}
        text = json.dumps(body).encode()
        self.send_response(status, message)
        self.send_header("Content-Type", "application/json;charset=UTF-8")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def drop(self):
        self.close_connection = True
        self.connection.close()

    def handle_request(self):
        url = urllib.parse.urlsplit(self.path)
        with self.node.lock, open(self.node.dir / "log", "a", encoding="utf-8") as log:
            log.write(f"{self.command} {self.path}\n")
        try:
            fault = self.node.fault(self.command, url.path, ("status", "drop", "cut", "wait"))
            if fault == "drop":
                return self.drop()
            if fault == "cut":
                self.rfile.read(min(65536, int(self.headers.get("Content-Length", 0)) // 2))
                return self.drop()
            if fault == "wait":
                (self.node.dir / "waits").touch()
                while (self.node.dir / "waits").exists():
                    time.sleep(0.02)
            elif fault:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                raise Refused(int(fault), "a fault that was asked for")
            self.authenticate()
            target = self.requestline.split(" ")[1]  # http.server makes one slash of several in self.path
            if target.startswith("//") or not url.path.startswith("/api2/json/"):
                raise Refused(501, f"Method '{self.command} {url.path}' not implemented")
            data = self.route(url.path[len("/api2/json") :], urllib.parse.parse_qs(url.query, strict_parsing=bool(url.query), keep_blank_values=True))
            if self.node.fault(self.command, url.path, ("done-then-drop",)):
                return self.drop()
            return self.answer(200, data)
        except Refused as refused:
            self.close_connection = True  # what is left of the body is not read
            return self.answer(refused.status, None, refused.message, refused.errors)

    do_GET = do_POST = do_PUT = do_DELETE = handle_request

    def authenticate(self):
        given = self.headers.get("Authorization", "")
        if given != "PVEAPIToken=" + self.node.text("token"):
            raise Refused(401, "no such token" if given.startswith("PVEAPIToken=") else "No ticket")

    def form(self):
        if self.headers.get("Content-Type", "").split(";")[0] != "application/x-www-form-urlencoded":
            raise Refused(400, "expected a form")
        size = int(self.headers.get("Content-Length", -1))
        if not 0 <= size <= 512 * 1024:
            raise Refused(413, "for data too large")
        fields = urllib.parse.parse_qsl(self.rfile.read(size).decode(), keep_blank_values=True, strict_parsing=size > 0)
        if len(dict(fields)) != len(fields):
            raise Refused(400, "a parameter is given twice")
        return dict(fields)

    def route(self, path, query):
        for method, pattern, function in ROUTES:
            match = re.fullmatch(pattern, path)
            if match and method == self.command:
                return function(self, *map(urllib.parse.unquote, match.groups()), **({"query": query} if query else {}))
        raise Refused(501, f"Method '{self.command} {path}' not implemented")

    # What is asked

    def version(self):
        version = self.node.text("version", "8.4.1")
        return {"version": version, "release": ".".join(version.split(".")[:2]), "repoid": "0123456789abcdef"}

    def nodes(self):
        return [{"node": NODE, "status": "online", "type": "node", "id": f"node/{NODE}"}]

    def storage(self, name):
        if name not in STORAGES:
            raise Refused(500, f"storage '{name}' does not exist")
        return {"content": STORAGES[name], "type": "dir", "active": 1, "enabled": 1, "avail": 1 << 40, "total": 1 << 40, "used": 0, "shared": 0}

    def content(self, storage, query):
        self.storage(storage)
        (kind,) = query.pop("content")
        if query or kind not in NAMES:
            raise Refused(400, "Parameter verification failed.", {"content": "invalid"})
        return [{"volid": f"{storage}:{kind}/{path.name}", "content": kind, "format": path.suffix[1:], "size": path.stat().st_size} for path in sorted((self.node.dir / kind).iterdir())]

    def task(self, upid):
        if upid not in self.node.tasks:
            raise Refused(400, "Parameter verification failed.", {"upid": "unable to parse worker upid"})
        return self.node.tasks[upid]

    def task_status(self, upid):
        if upid == BUSY:
            return {"upid": upid, "node": NODE, **({"status": "running"} if self.node.is_busy() else {"status": "stopped", "exitstatus": "unexpected status"})}
        task = self.task(upid)
        with self.node.lock:
            self.node.go_on(task)
        stopped = task["asked"] > 1
        return {"upid": upid, "node": NODE, "status": "stopped" if stopped else "running", **({"exitstatus": task["failure"] or "OK"} if stopped else {})}

    def task_log(self, upid, query):
        if set(query) - {"limit", "start"}:
            raise Refused(400, "Parameter verification failed.")
        lines = [] if upid == BUSY else self.task(upid)["log"]
        return [{"n": number, "t": line} for number, line in enumerate(lines, 1)]

    def tasks(self, query):
        kind = query.get("typefilter", [""])[0]
        if query != {"source": ["active"], "typefilter": [kind]} or kind not in ("qmcreate", "imgcopy"):
            raise Refused(400, "Parameter verification failed.", {"source": "this double lists active tasks that make machines or copy uploads"})
        others = [{"upid": BUSY, "node": NODE, "type": "qmcreate", "user": "somebody@pam", "status": "RUNNING"}] if self.node.is_busy() and kind == "qmcreate" else []
        with self.node.lock:
            return others + [{"upid": upid, "node": NODE, "type": kind, "user": "root@pam", "status": "RUNNING" if task["asked"] < 2 else task["failure"] or "OK"}
                             for upid, task in self.node.tasks.items() if task["kind"] == kind]

    def machine(self, vmid):
        machines = self.node.machines()
        if vmid not in machines:
            raise Refused(500, f"Configuration file 'nodes/{NODE}/qemu-server/{vmid}.conf' does not exist")
        return machines, machines[vmid]

    def list_machines(self):
        return [{"vmid": int(vmid), "name": machine.get("name", f"VM {vmid}"), "status": "running" if machine.get("start") == "1" else "stopped", "cpus": 2,
                 **({"template": 1} if machine.get("template") else {}), **({"lock": machine["lock"]} if "lock" in machine else {})}
                for vmid, machine in self.node.machines().items()]

    def config(self, vmid):
        _, machine = self.machine(vmid)
        return {**{name: value for name, value in machine.items() if name not in ("vmid", "start", "template")}, "digest": "0" * 40}

    def next_id(self):
        taken = self.node.machines()
        return str(next(number for number in range(100, 1000) if str(number) not in taken))

    # What is done

    def line(self):
        line = self.rfile.readline(8192)
        if not line.endswith(b"\r\n"):
            raise Refused(400, "upload failed: a line without its end")
        self.left -= len(line)
        return line[:-2].decode()

    def part(self, boundary):
        """Name, file name and the value of one part; of a file only its place is told, because it is read by the caller."""
        match = re.fullmatch(r'Content-Disposition: form-data; name="([\w-]+)"(?:; filename="([^"]+)")?', self.line())
        if not match:
            raise Refused(400, "upload failed: wrong field order, or Content-Disposition is not the first line")
        while self.line():
            pass
        if match[2] is not None:
            return match[1], match[2], None
        value = self.line()
        if self.line() != "--" + boundary:
            raise Refused(400, "upload failed: no boundary behind a field")
        return match[1], None, value

    def upload(self, storage):
        kind = re.fullmatch(r"multipart/form-data; boundary=([\w'()+,./:=?-]{1,70})", self.headers.get("Content-Type", ""))
        if "Transfer-Encoding" in self.headers:
            raise Refused(501, "chunked transfer encoding not supported")
        if not kind or "Content-Length" not in self.headers:
            raise Refused(400, "upload failed: no multipart form with a length")
        if "Expect" in self.headers:
            raise Refused(417, "no expectations, please")
        self.left, boundary, fields = int(self.headers["Content-Length"]), kind[1], {}
        if self.line() != "--" + boundary:
            raise Refused(400, "upload failed: no boundary")
        name = None
        while name is None:
            field, name, value = self.part(boundary)
            expected = ["content", "checksum-algorithm", "checksum", "filename"][len(fields)]
            if field != expected:
                raise Refused(400, f"upload failed: wrong field order, {field} where {expected} must be")
            fields[field] = value
        return self.store(storage, fields, name, f"\r\n--{boundary}--\r\n".encode())

    def store(self, storage, fields, name, end):
        content = fields["content"]
        if content not in STORAGES[storage].split(",") or not re.fullmatch(NAMES.get(content, "x^"), name):
            raise Refused(400, "Parameter verification failed.", {"filename": f"wrong file name or content type: {name}"})
        digest, part, left = hashlib.sha256(), self.node.dir / f".{name}.part", self.left - len(end)
        with open(part, "wb") as file:
            while left > 0:
                data = self.rfile.read(min(left, 1 << 20))
                if not data:
                    raise Refused(400, "upload failed: the body ends early")
                left -= len(data)
                digest.update(data)
                file.write(data)
        if self.rfile.read(len(end)) != end:
            raise Refused(400, "upload failed: no final boundary")
        failure, place = None, self.node.dir / content / name
        if digest.hexdigest() != fields["checksum"] or fields["checksum-algorithm"] != "sha256":
            failure = "checksum mismatch: got " + digest.hexdigest()
        elif content == "import" and json.loads(subprocess.check_output(["qemu-img", "info", "--output=json", part])).get("backing-filename"):
            failure = "disk image has a backing file"
        log = [f"starting file import from: /var/tmp/pveupload-{name}", f"target node: {NODE}"]
        if failure:
            part.unlink()
            return self.node.start_task("imgcopy", failure, log)
        failure = self.node.fault("POST", self.path, ("task ",))

        def copy(mode, size):  # over what may be there, as cp does
            with open(part, "rb") as source, open(place, mode) as target:
                source.seek(target.tell())
                while target.tell() < size:
                    target.write(source.read(min(1 << 20, size - target.tell())))

        def finish():
            if failure:
                place.unlink()
            else:
                copy("ab", part.stat().st_size)
            part.unlink()

        return self.node.start_task("imgcopy", failure and failure[5:], log, lambda: copy("wb", part.stat().st_size // 2), finish, f"{content}/{name}")

    def create(self):
        given = self.form()
        errors = {name: "property is not defined in schema and the schema does not allow additional properties" for name in given if name not in MACHINE}
        errors |= {name: "value does not match the regex pattern" for name, value in given.items() if name in MACHINE and not re.fullmatch(MACHINE[name], value)}
        if "vmid" not in given:
            errors["vmid"] = "property is missing and it is not optional"
        if (given.get("bios") == "ovmf") != ("efidisk0" in given):
            errors["efidisk0"] = "goes with ovmf"
        if errors:
            raise Refused(400, "Parameter verification failed.", errors)
        for name in ("scsi0", "efidisk0"):
            storage = given.get(name, "local-lvm:").split(":")[0]
            if "images" not in STORAGES.get(storage, "").split(","):
                raise Refused(500, f"storage '{storage}' does not support content-type 'images'")
        volumes = re.findall(r"local:((?:import|iso)/[\w.-]+)", " ".join(given.values()))
        for volume in volumes:
            if not (self.node.dir / volume).exists():
                raise Refused(500, f"volume 'local:{volume}' does not exist")
        before = [self.node.state(volume) for volume in volumes]
        machines = self.node.machines()
        if given["vmid"] in machines:
            raise Refused(500, f"unable to create VM {given['vmid']} - VM {given['vmid']} already exists on node '{NODE}'")
        failure = self.node.fault("POST", self.path, ("task ",))
        self.node.keep({**machines, given["vmid"]: {"vmid": given["vmid"], "lock": "create"}})

        def finish():
            present = self.node.machines()
            del present[given["vmid"]]
            is_whole = None not in before and before == [self.node.state(volume) for volume in volumes]
            machine = {**given, "template": False}
            if self.node.text("no-start"):
                machine.pop("start", None)  # a warning is all that the real one makes of it
            self.node.keep({**present, given["vmid"]: machine} if is_whole and not failure else present)
            return None if is_whole else "qemu-img: Image is corrupt: it was written to while it was read"

        return self.node.start_task("qmcreate", failure and failure[5:], ["importing disk", "transferred 50%"], finish=finish)

    def change(self, vmid, **values):
        machines, machine = self.machine(vmid)
        if self.form():
            raise Refused(400, "Parameter verification failed.")
        if "lock" in machine:
            raise Refused(500, f"VM is locked ({machine['lock']})")
        if machine["template"]:
            raise Refused(500, "you can't convert a template to a template" if "template" in values else "you can't start a vm if it's a template")
        if machine.get("start") == "1":
            raise Refused(500, f"VM {vmid} already running")
        failure = self.node.text("no-start") if "start" in values else None
        if not failure:
            machine.update(values)
        self.node.keep(machines)
        return self.node.start_task("qmtemplate" if "template" in values else "qmstart", failure)

    def template(self, vmid):
        return self.change(vmid, template=True)

    def start(self, vmid):
        return self.change(vmid, start="1")


ROUTES = [
    ("GET", r"/version", Handler.version), ("GET", r"/nodes", Handler.nodes), ("GET", rf"/nodes/{NODE}/storage/([\w-]+)/status", Handler.storage),
    ("GET", rf"/nodes/{NODE}/storage/([\w-]+)/content", Handler.content), ("POST", rf"/nodes/{NODE}/storage/([\w-]+)/upload", Handler.upload),
    ("GET", rf"/nodes/{NODE}/tasks/([^/]+)/status", Handler.task_status), ("GET", rf"/nodes/{NODE}/tasks/([^/]+)/log", Handler.task_log),
    ("GET", r"/cluster/nextid", Handler.next_id), ("GET", rf"/nodes/(?:{NODE}|localhost)/tasks", Handler.tasks), ("GET", rf"/nodes/{NODE}/qemu", Handler.list_machines),
    ("GET", rf"/nodes/{NODE}/qemu/(\d+)/config", Handler.config), ("POST", rf"/nodes/{NODE}/qemu", Handler.create),
    ("POST", rf"/nodes/{NODE}/qemu/(\d+)/template", Handler.template), ("POST", rf"/nodes/{NODE}/qemu/(\d+)/status/start", Handler.start),
]


def main():
    directory, certificate, key = sys.argv[1:]
    Handler.node = Node(directory)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *_: None  # a client that goes away is what some tests are about
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_address[1], flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
