# SPDX-License-Identifier: Apache-2.0
"""Rescue systems of the double in hetzner.py, each behind a relay at its server's address, which counts bytes and cuts connections off.

`Namespace` is fast and no system of its own: dropbear and this machine's programs, in a mount namespace where the only disk is the server's file. It shows what
goes over the wire and what lands on the disk, not what a kernel's block device does with it. `Virtual` does: a virtual machine whose system, in memory as
the real one is, is made of this machine's kernel and programs. Both want root, for mounts and for port 22.
"""
import concurrent.futures
import signal
import socket
import subprocess
import threading
from pathlib import Path

PORT = 22
STARTER = concurrent.futures.ThreadPoolExecutor(1)  # a child that is to die with its parent dies with the thread that started it


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Relay:
    """Takes connections at (address, 22) and hands them on."""

    def __init__(self, directory, address, port):
        self.dir, self.port, self.lock = Path(directory), port, threading.Lock()
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind((address, PORT))
        self.listener.listen()
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return  # closed
            threading.Thread(target=self.connect, args=(client,), daemon=True).start()

    def connect(self, client):
        fault, limit = self.dir / "ssh-fault", None
        try:
            backend = socket.create_connection(("127.0.0.1", self.port), timeout=20)
        except OSError:
            client.close()
            return
        backend.settimeout(None)
        down = threading.Thread(target=self.pump, args=(backend, client, None, None), daemon=True)
        down.start()
        total = self.pump(client, backend, fault, limit)
        with self.lock, open(self.dir / "ssh-bytes", "a", encoding="ascii") as file:
            file.write(f"{total}\n")

    def pump(self, source, target, fault, limit):
        """Returns how many bytes it was; both ends are closed afterwards."""
        total = 0
        try:
            while data := source.recv(1 << 18):
                total += len(data)
                if fault and total > 65536 and fault.exists():
                    limit = int(fault.read_text())
                    fault.unlink()
                if limit is not None and total > limit:
                    break
                target.sendall(data)
        except OSError:
            pass
        for end in (source, target):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        return total

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


class Rescue:
    def __init__(self, directory, address, disk, keys):
        self.dir = Path(directory) / f"rescue-{Path(disk).stem}"
        self.dir.mkdir()
        self.disk, self.port = disk, free_port()
        subprocess.run(["dropbearkey", "-t", "ed25519", "-f", self.dir / "host-key"], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        (self.dir / "authorized_keys").write_text("".join(key.strip() + "\n" for key in keys))
        with open(self.dir / "log", "wb") as log:
            command = ["setpriv", "--pdeathsig", "KILL", *self.command()]
            self.process = STARTER.submit(subprocess.Popen, command, stdin=subprocess.DEVNULL, stdout=log, stderr=log).result()
        self.relay = Relay(directory, address, self.port)

    def command(self):
        raise NotImplementedError

    def close(self):
        self.relay.close()
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


# No device of the real machine is in reach of what runs inside: /dev and /sys are new, and the disk is a file.
INSIDE = """\
set -e
dir=$1 disk=$2 port=$3
mount -t tmpfs -o mode=0700 rescue /root
mkdir -m 0700 /root/.ssh
cp "$dir/authorized_keys" /root/.ssh/authorized_keys
cp "$dir/host-key" /root/host-key
mkdir "$dir/dev"
mount -t tmpfs -o mode=0755 rescue "$dir/dev"
for name in null zero random urandom; do
    touch "$dir/dev/$name"
    mount --bind "/dev/$name" "$dir/dev/$name"
done
ln -s /proc/self/fd "$dir/dev/fd"
touch "$dir/dev/sdz"
mount --bind "$disk" "$dir/dev/sdz"
mount --rbind "$dir/dev" /dev
mount -t proc proc /proc
mount --bind /dev/null /proc/sys/vm/drop_caches
mount -t tmpfs rescue /sys
mkdir -p /sys/block/sdz
echo $(($(stat -c %s "$disk") / 512)) >/sys/block/sdz/size
if [ -e "$dir/../lying-discard" ]; then mount --bind /bin/true /usr/sbin/blkdiscard; fi
exec dropbear -F -E -s -r /root/host-key -p "127.0.0.1:$port" -P /root/pid
"""


class Namespace(Rescue):
    def command(self):
        return ["unshare", "--mount", "--pid", "--fork", "--kill-child=KILL", "--propagation", "private", "bash", "-c", INSIDE, "rescue", self.dir, self.disk, str(self.port)]


RESCUES = {"namespace": Namespace}
