# SPDX-License-Identifier: Apache-2.0
"""The one long-lived machine: what config.env and secrets became, what cannot be written, what survives a reboot, what leaks.

The scenarios share one machine and run in the order of this file; each leaves it as the next one expects it.
"""
import json
import re
import subprocess

from families import FAMILY
from vm import BOOT_SECONDS, CANARY


def settings(text, separator=None):
    """`key value` lines as a dictionary with lower-case keys."""
    pairs = (line.split(separator, 1) for line in text.splitlines() if line.strip())
    return {pair[0].strip().lower(): pair[1].strip() if len(pair) > 1 else "" for pair in pairs}


def status(machine):
    return json.loads(machine.root_out("webops status --json"))


def test_reports_healthy(machine):
    line = machine.wait_healthy()
    assert line.startswith("webops: healthy")
    assert machine.root("webops health").returncode == 0
    assert machine.root_out("systemctl is-system-running", check=False) in ("running", "starting")
    assert machine.root_out("systemctl --failed --no-legend --plain") == ""
    assert machine.ignored(FAMILY.not_known) == []


def test_identity_settings(machine):
    assert machine.out("hostname") == "scenario"  # from the seed's meta-data
    assert machine.out("cat /etc/hostname") == "scenario"
    assert machine.out("readlink /etc/localtime").endswith("zoneinfo/Europe/Berlin")
    assert machine.out("date +%Z") in ("CET", "CEST")
    chrony = machine.root_out("cat /etc/chrony/chrony.conf /etc/chrony/sources.d/* /etc/chrony/conf.d/* 2>/dev/null", check=False)
    assert "ntp1.example.org" in chrony and "ntp2.example.org" in chrony


def test_operator_and_secret(machine):
    user, home, shell = machine.out("getent passwd ops").split(":")[0], machine.out("echo ~"), machine.out("echo $SHELL")
    assert (user, home) == ("ops", "/home/ops") and shell.endswith("sh")
    # The password secret was applied: sudo takes the right one only (machine.root() has just used it everywhere else).
    assert machine.root_out("id -u") == "0"
    wrong = machine.run("sudo -k; sudo -S -p '' id -u", input="wrong\n", check=False)
    assert wrong.returncode != 0 and wrong.stdout == ""
    assert machine.root_out("getent shadow root").split(":")[1][0] in "!*"


def test_file_modes(machine):
    modes = machine.root_out("stat -c '%a %U:%G %n' /webops /webops/secrets /webops/secrets/operator.secret /webops/secrets/ssh.secret "
                             "/webops/config.env /etc/shadow /etc/sudoers.d/90-webops /var/lib/webops/ssh/ssh_host_ed25519_key")
    found = {line.split()[2]: tuple(line.split()[:2]) for line in modes.splitlines()}
    assert found["/webops/secrets"] == ("700", "root:root")
    assert found["/webops/secrets/operator.secret"] == ("600", "root:root")
    assert found["/webops/secrets/ssh.secret"] == ("600", "root:root")
    assert found["/etc/shadow"] == (("0", "root:root") if FAMILY.has_rpm else ("640", "root:shadow"))
    assert found["/etc/sudoers.d/90-webops"] == ("440", "root:root")
    assert found["/var/lib/webops/ssh/ssh_host_ed25519_key"] == ("600", "root:root")
    # Nobody but root reads a secret.
    assert machine.run("cat /webops/secrets/operator.secret", check=False).returncode != 0
    assert machine.run("ls /webops/secrets", check=False).returncode != 0


def test_firewall(machine):
    ruleset = json.loads(machine.root_out("nft -j list ruleset"))["nftables"]
    chains = [item["chain"] for item in ruleset if "chain" in item]
    incoming = [chain for chain in chains if chain.get("hook") == "input"]
    assert [chain["policy"] for chain in incoming] == ["drop"]
    text = machine.root_out("nft list ruleset")
    assert re.search(r"\b80\b", text) and re.search(r"\b443\b", text)
    assert "limit rate" in text and "20/minute" in text
    assert "icmp" in text
    # The early stage loads the rules itself, before there is a network; nftables.service is only its safety net.
    assert machine.root("test -e /run/webops/firewall-loaded || systemctl is-active nftables").returncode == 0


def test_static_network(machine):
    """The seed's network-config."""
    links = {link["ifname"]: link for link in json.loads(machine.out("ip -j -d address"))}
    card = next(name for name, link in links.items() if link.get("address") == "52:54:00:97:00:02" and "link" not in link)
    addresses = {f"{address['local']}/{address['prefixlen']}" for address in links[card]["addr_info"]}
    assert {"192.0.2.10/24", "2001:db8::10/64"} <= addresses
    assert "default via 192.0.2.1 " in machine.out(f"ip -4 route show dev {card}") + " "
    names = "cat /etc/resolv.conf" if FAMILY.has_rpm else f"resolvectl dns {card}"  # NetworkManager's, or resolved's
    assert "192.0.2.53" in machine.out(names)
    vlan = next(link for link in links.values() if link.get("link") == card)
    assert vlan["linkinfo"]["info_data"]["id"] == 97 and vlan["mtu"] == 1400
    assert "198.51.100.10" in {address["local"] for address in vlan["addr_info"]}


def test_ssh_server(machine):
    server = settings(machine.root_out("sshd -T"))
    assert server["passwordauthentication"] == "no"
    assert server["kbdinteractiveauthentication"] == "no"
    assert server["permitrootlogin"] == "no"
    assert server["maxauthtries"] == "2"
    assert server["allowusers"] == "ops"
    assert server["permitemptypasswords"] == "no"
    assert "/var/lib/webops/ssh/" in server["hostkey"]


def test_root_cannot_log_in(machine):
    command = machine._ssh("-o", "ControlPath=none")
    command[-1] = command[-1].replace("ops@", "root@")
    denied = subprocess.run([*command, "true"], capture_output=True, text=True, timeout=120)
    assert denied.returncode == 255 and "ermission denied" in denied.stderr


def test_kernel_settings(machine):
    wanted = {"vm.swappiness": "7", "vm.dirty_ratio": "12", "net.ipv4.tcp_keepalive_time": "61", "kernel.panic": "10",
              "net.ipv4.conf.all.accept_redirects": "0", "net.ipv4.conf.all.rp_filter": ("1", "2"), "net.ipv4.tcp_syncookies": "1",
              "kernel.kptr_restrict": ("1", "2"), "kernel.dmesg_restrict": "1", "fs.protected_symlinks": "1", "fs.protected_hardlinks": "1"}
    found = settings(machine.root_out("sysctl " + " ".join(wanted)), "=")
    for key, value in wanted.items():
        assert found[key] in value if isinstance(value, tuple) else found[key] == value, key


def test_limits_and_swap(machine):
    assert machine.out("ulimit -u") == "2048"
    user_slice = machine.root_out("systemctl show -p MemoryMax user-$(id -u ops).slice")
    total = int(machine.out("awk '/MemTotal/ {print $2}' /proc/meminfo")) * 1024
    assert 0.6 * total < int(user_slice.split("=")[1]) < 0.8 * total
    assert int(machine.out("awk '/SwapTotal/ {print $2}' /proc/meminfo")) in range(60000, 66000)


def test_watchdog_and_log(machine):
    assert machine.root_out("cat /sys/class/watchdog/watchdog0/state") == "active"
    # Since systemd runs, not since webops does.
    console = machine.console()
    before = re.split(r"webops-early\.service|config\.env before the network", console)[0]
    assert len(before) < len(console)
    assert "Watchdog running with a hardware timeout" in before or "Set hardware watchdog to" in before  # the second one is systemd 247's
    assert machine.root_out("systemctl show -p RuntimeWatchdogUSec --value") not in ("0", "infinity", "")
    assert machine.root_out("ls /var/log/journal | wc -l") == "1"
    lines = machine.root_out("cat /var/log/webops/*.log /var/log/webops/*.json* 2>/dev/null", check=False).splitlines()
    records = [json.loads(line) for line in lines]
    assert records and all(isinstance(record, dict) for record in records)


def http(machine, request):
    """Status and body of one answer of the machine to itself; the image has no HTTP client."""
    script = f"exec 3<>/dev/tcp/127.0.0.1/9797; printf '{request}' >&3; cat <&3"
    head, _, body = machine.out(f'bash -c "{script}"').replace("\r", "").partition("\n\n")
    return int(head.split()[1]), body


def test_health_and_metrics_by_http(machine):
    machine.root_out("systemctl start webops-monitor.service")
    code, body = http(machine, r"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")
    health = json.loads(body)
    assert code == 200 and health["healthy"] and all("why" not in check for check in health["checks"])
    code, body = http(machine, r"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
    assert code == 200
    for line in ("webops_healthy 1", "webops_trial 0", 'webops_check_passed{check="sshd"} 1'):
        assert f"\n{line}\n" in body
    assert re.search(r"\nwebops_drift_files \d+\n", body)
    assert http(machine, r"POST /health HTTP/1.1\r\n\r\n")[0] == 405
    assert http(machine, r"GET /etc/passwd HTTP/1.1\r\n\r\n")[0] == 404
    assert machine.root_out("stat -c %a /run/webops/health.json /run/webops/metrics.prom").split() == ["644", "644"]


def test_looking_at_health_writes_nothing_to_state(machine):
    machine.root_out("touch /run/mark; systemctl start webops-monitor.service")
    http(machine, r"GET /health HTTP/1.1\r\n\r\n")
    changed = machine.root_out("find /var/lib/webops /var/log/webops /var/tmp /webops -newer /run/mark")
    assert changed == ""
    lines = machine.root_out("journalctl -b -q -u webops-monitor.service -u webops-http.socket -u 'webops-http@*'").splitlines()
    assert [line for line in lines if not (FAMILY.tells_looks and " systemd[1]: " in line)] == []


def test_state_grew(machine):
    # The image's state partition has 64 MiB; the virtual disk has 4 GiB.
    size = int(machine.root_out("df --output=size -B1M /var | tail -n 1"))
    assert size > 1500
    options = machine.root_out("findmnt -no OPTIONS /var")
    assert "noatime" in options and "rw" in options
    assert machine.root_out("findmnt -no FSTYPE /var") == "ext4"


def test_root_and_layers_are_not_writable(machine):
    assert machine.root_out("findmnt -no FSTYPE /") == "overlay"
    for path in ("/", "/usr", "/usr/bin", "/boot", "/opt"):
        assert machine.root(f"touch {path}/webops-was-here", check=False).returncode != 0, path
    machine.root("mount -o remount,rw /", check=False)
    assert machine.root("touch /usr/webops-was-here", check=False).returncode != 0
    assert machine.root("test -e /usr/webops-was-here", check=False).returncode != 0
    # Neither the verity device nor what lies under the layers takes a byte.
    for device in machine.root_out("ls -d /dev/dm-*").split():
        assert machine.root_out(f"blockdev --getro {device}") == "1", device
        assert machine.root(f"dd if=/dev/zero of={device} bs=4096 count=1 conv=notrunc oflag=direct", check=False).returncode != 0, device
    assert "lowerdir=/layers/" in machine.root_out("findmnt -no OPTIONS /")


def test_package_database_is_the_images(machine):
    if FAMILY.has_rpm:
        assert machine.root_out("rpm --dbpath /var/lib/rpm -q systemd").startswith("systemd-")
        assert machine.root("rpm --dbpath /var/lib/rpm -e less", check=False).returncode != 0
    else:
        assert machine.root_out("dpkg-query -W -f '${Status}' systemd").endswith("installed")
        assert machine.root("apt-get install -y hello", check=False).returncode != 0


def test_status_tells_what_runs(machine):
    report, slot = status(machine), machine.image.inspect()["slots"][0]
    assert report["generation"]["profile"] == "dev" and report["generation"]["version"] == slot["version"]
    assert report["generation"]["root_hash"] == slot["root_hash"] and report["slot"] == "a"
    assert [layer["name"] for layer in report["layers"]] == [layer["name"] for layer in slot["layers"]]
    assert report["config"]["source"] and not report["config"]["problems"]
    assert report["health"]["healthy"] is True and report["drift"] == 0 and report["errors"] == []
    human = machine.root_out("webops status")
    for word in ("scenario", "healthy", slot["root_hash"], report["config"]["source"]):
        assert word in human


def test_apply_is_idempotent(machine):
    before = machine.root_out("find /etc -xdev -type f -newermt '@0' -printf '%p %T@ %s\\n' | sort | sha256sum")
    machine.root("webops apply")
    machine.root("webops apply")
    assert machine.root_out("find /etc -xdev -type f -newermt '@0' -printf '%p %T@ %s\\n' | sort | sha256sum") == before
    assert status(machine)["apply"]["changes"] == 0 and status(machine)["drift"] == 0


def test_canary_is_nowhere(machine, image):
    # It was applied (sudo takes the password), so it was read; and it must have been read by nothing that talks.
    commands = {
        "journal": "journalctl --no-pager -o export",
        "kernel log": "dmesg",
        "arguments and environments": "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null; true",
        "our log": "cat /var/log/webops/* 2>/dev/null; true",
        "run": "find /run -type f -size -1M -exec cat {} + 2>/dev/null; true",
        "units": "cat /etc/systemd/system/* /run/systemd/system/* 2>/dev/null; true",
        "temporary files": "find /tmp /var/tmp -type f -exec cat {} + 2>/dev/null; true",
    }
    # The needle is in no argument of the search itself: it comes in two halves, and grep reads it from a here-document.
    half = len(CANARY) // 2

    def count(command):
        search = f"a={CANARY[:half]}\n({command}) | grep -a -c -F -f /dev/fd/3 3<<E\n${{a}}{CANARY[half:]}\nE\ntrue"
        return machine.root_out(search, timeout=240)

    for what, command in commands.items():
        assert count(command) == "0", f"the canary secret is in: {what}"
    assert CANARY not in machine.console()
    assert CANARY.encode() not in image.raw.read_bytes()
    # The counter-check: the search does find it where it belongs.
    assert count("cat /webops/secrets/*") == "1"


def test_broken_config_is_told(machine):
    machine.good = machine.root_out("cat /webops/config.env")
    machine.root("printf 'HOSTNAME=other\\nHOSTNME=typo\\nENABLE_FIREWALL=maybe\\nCANARY_PASSWORD=" + CANARY + "\\n' >/webops/config.env; sync")
    checked = machine.root("webops validate", check=False)
    assert checked.returncode == 1
    complaint = checked.stdout + checked.stderr
    for line in (":2:", ":3:", ":4:"):
        assert line in complaint, complaint
    assert "HOSTNAME" in complaint and CANARY not in complaint


def test_reboot_keeps_identity_and_data_but_not_drift(machine):
    # A boot that changes nothing writes none of these: same inode, same time.
    identity = "cat /etc/machine-id /var/lib/webops/ssh/*.pub; hostname; find /webops /var/lib/webops/ssh -type f -printf '%p %i %T@\\n' | sort"
    before = machine.root_out(identity)
    assert "/webops/config.env " in before and "ssh_host_ed25519_key " in before
    boot_id = machine.out("cat /proc/sys/kernel/random/boot_id")
    machine.root("echo '# edited by hand' >>/etc/ssh/sshd_config.d/10-webops.conf; echo stray >/etc/stray.conf; echo kept >/var/kept; "
                 "echo kept >/home/ops/kept; echo kept >/root/kept; echo kept >/srv/kept; sync")
    drift = machine.root("webops drift", check=False)
    assert "sshd_config.d/10-webops.conf" in drift.stdout and "stray.conf" in drift.stdout
    seed = machine.root_out("sha256sum /var/lib/systemd/random-seed", check=False)

    machine.rebooted = machine.reboot()

    assert machine.out("cat /proc/sys/kernel/random/boot_id") != boot_id
    assert machine.root_out(identity) == before
    assert "edited by hand" not in machine.root_out("cat /etc/ssh/sshd_config.d/10-webops.conf")
    assert machine.root("test -e /etc/stray.conf", check=False).returncode != 0
    for place in ("/var", "/home/ops", "/root", "/srv"):
        assert machine.root_out(f"cat {place}/kept") == "kept"
    assert machine.root_out("stat -c '%a %U' /var/lib/systemd/random-seed") == "600 root"
    assert machine.root_out("sha256sum /var/lib/systemd/random-seed") != seed
    assert machine.root_out("systemctl --failed --no-legend --plain") == ""


def test_broken_config_keeps_the_last_good_one(machine):
    """It never reboots the machine and never makes it unhealthy: reboot() has waited for that."""
    assert machine.out("hostname") == "scenario"
    assert machine.out("date +%Z") in ("CET", "CEST")
    problems = "\n".join(status(machine)["config"]["problems"])
    assert "HOSTNME" in problems and CANARY not in problems
    console = machine.console(machine.rebooted)
    assert "config.env" in console and CANARY not in console
    machine.root("cat >/webops/config.env", input=machine.good + "\n")
    machine.root("webops apply")
    assert machine.root("webops validate").returncode == 0


def test_powers_off_cleanly(machine):
    since = machine.mark()
    machine.root("systemctl --no-block poweroff", check=False)
    machine.disconnect()
    assert machine.process.wait(BOOT_SECONDS) == 0
    assert "unhealthy" not in machine.console(since)
