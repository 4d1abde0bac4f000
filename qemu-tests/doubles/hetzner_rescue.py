# SPDX-License-Identifier: Apache-2.0
"""Rescue systems of the double in hetzner.py, each behind a relay at its server's address, which counts bytes and cuts connections off.

`Namespace` is fast and no system of its own: dropbear and this machine's programs, in a mount namespace where the only disk is the server's file. It shows what
goes over the wire and what lands on the disk, not what a kernel's block device does with it. `Virtual` does: a virtual machine whose system, in memory as
the real one is, is made of this machine's kernel and programs. Both want root, for mounts and for port 22, and a network in which nobody
else has that port.
"""
import concurrent.futures
import re
import shutil
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
mount --bind /bin/true /usr/bin/sync  # it would wait for all that the real machine has not written yet
mount -t tmpfs rescue /sys
mkdir -p /sys/block/sdz
echo $(($(stat -c %s "$disk") / 512)) >/sys/block/sdz/size
if [ -e "$dir/../lying-discard" ]; then mount --bind /bin/true /usr/sbin/blkdiscard; fi
exec dropbear -F -E -s -r /root/host-key -p "127.0.0.1:$port" -P /root/pid
"""


class Namespace(Rescue):
    def command(self):
        return ["unshare", "--mount", "--pid", "--fork", "--kill-child=KILL", "--propagation", "private", "bash", "-c", INSIDE, "rescue", self.dir, self.disk, str(self.port)]


# Real ones where it matters what they do with a disk; the rest is busybox.
PROGRAMS = ["/bin/bash", "/usr/bin/zstd", "/bin/dd", "/usr/bin/head", "/usr/bin/sha256sum", "/sbin/blkdiscard", "/sbin/blockdev", "/usr/sbin/dropbear", "/bin/busybox"]
MODULES = ["virtio_pci", "virtio_net", "virtio_scsi", "sd_mod"]
INIT = """\
#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /tmp /run
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
ln -sf /proc/self/fd /dev/fd
for module in $(cat /modules/order); do insmod /modules/$module; done
ip link set lo up
ip link set eth0 up
ip address add 10.0.2.15/24 dev eth0
chmod 700 /root /root/.ssh
echo rescue >/proc/sys/kernel/hostname
exec /usr/bin/dropbear -F -E -s -r /root/host-key -p 22
"""


def newest_kernel():
    versions = [path.name[len("vmlinuz-") :] for path in Path("/boot").glob("vmlinuz-*-cloud-amd64")]
    return max(versions, key=lambda version: [int(number) for number in re.findall(r"\d+", version)])


def put(tree, path, text):
    target = tree / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text)
    return target


def pack(tree, archive):
    names = subprocess.run(["find", ".", "-mindepth", "1", "-print0"], cwd=tree, check=True, stdout=subprocess.PIPE).stdout
    with open(archive, "wb") as out:
        subprocess.run(["cpio", "--null", "--quiet", "-o", "-H", "newc", "-R", "0:0"], cwd=tree, input=names, stdout=out, check=True)


def make_system(tree, version):
    """The file system of a rescue system, out of this machine's programs, the libraries that they need, and its kernel's modules."""
    for program in PROGRAMS:
        place = tree / ("bin" if program in ("/bin/bash", "/bin/busybox") else "usr/bin") / Path(program).name
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(program, place)
        told = subprocess.run(["ldd", program], text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False).stdout
        for library in re.findall(r"(/\S+\.so\S*)", told):
            (tree / library[1:]).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(library, tree / library[1:])
    order = []
    for module in MODULES:
        told = subprocess.run(["modprobe", "-S", version, "--show-depends", module], text=True, check=True, stdout=subprocess.PIPE).stdout
        for path in map(Path, re.findall(r"^insmod (\S+)", told, re.M)):
            if path.name not in order:
                order.append(path.name)
                (tree / "modules").mkdir(exist_ok=True)
                shutil.copy(path, tree / "modules")
    put(tree, "modules/order", "\n".join(order))
    put(tree, "etc/passwd", "root:*:0:0:root:/root:/bin/bash\n")
    put(tree, "etc/group", "root:x:0:\n")
    put(tree, "etc/shells", "/bin/bash\n")
    put(tree, "init", INIT).chmod(0o755)


class Virtual(Rescue):
    def command(self):
        system, own, version = self.dir / "system", self.dir / "own", newest_kernel()
        make_system(system, version)
        put(own, "root/.ssh/authorized_keys", (self.dir / "authorized_keys").read_text()).chmod(0o600)
        shutil.copy(self.dir / "host-key", own / "root/host-key")
        pack(system, self.dir / "system.cpio")
        pack(own, self.dir / "own.cpio")
        with open(self.dir / "initrd", "wb") as initrd:
            for part in ("system.cpio", "own.cpio"):
                initrd.write((self.dir / part).read_bytes())
        return ["qemu-system-x86_64", "-machine", "q35", "-accel", "tcg,tb-size=256", "-cpu", "max", "-m", "512", "-display", "none", "-nodefaults", "-no-reboot", "-serial", "stdio",
                "-kernel", f"/boot/vmlinuz-{version}", "-initrd", self.dir / "initrd", "-append", "console=ttyS0 panic=-1 quiet random.trust_cpu=on",
                "-netdev", f"user,id=net,hostfwd=tcp:127.0.0.1:{self.port}-:22", "-device", "virtio-net-pci,netdev=net,romfile=", "-device", "virtio-scsi-pci",
                "-drive", f"if=none,id=disk,format=raw,discard=unmap,file={self.disk}", "-device", "scsi-hd,drive=disk"]


RESCUES = {"namespace": Namespace, "qemu": Virtual}
