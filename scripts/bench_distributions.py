# SPDX-License-Identifier: Apache-2.0
"""The group of scripts/bench that measures cold builds of other distributions, each beside its package manager alone with mksquashfs behind it.

Ubuntu's and Rocky's packages come from repositories of the scenarios (qemu-tests/aptrepo.py, rpmrepo.py): Debian's files under their names, without the
scripts of the real ones. Both sides read them from the disk; of Debian's both have the packages in a cache.
"""
import re
import shutil
import statistics
import subprocess
import time

LEVEL = 3


def compare(bench, what, ours, plain, runs):
    pairs = [(ours(), plain()) for _ in range(runs)]
    a, b = (statistics.median(side) for side in zip(*pairs))
    bench.row(f"cold build, {what}, zstd {LEVEL}", f"{a:.1f} s, {b:.1f} s alone: ratio {a / b:.2f}", "≤ 1.3")


def debian(bench, release, codename, runs):
    image = f"debian-{release}"
    archives = bench.WORK / f"archives-{release}"
    archives.mkdir(exist_ok=True)
    profile = bench.project(f"cold-{release}", LEVEL, layers="")
    profile.write_text(re.sub(r"^image:.*", f"image: {image}", profile.read_text(), flags=re.M))
    bench.build(profile)
    bench.pipe(1, archives, fill=True, image=image, codename=codename)

    def cold():
        bench.forget_nodes()
        return bench.build(profile)
    compare(bench, f"Debian {release} beside mmdebstrap", cold, lambda: bench.pipe(LEVEL, archives, image=image, codename=codename), runs)


def squash(tree, target):
    subprocess.run(["mksquashfs", tree, target, "-comp", "zstd", "-Xcompression-level", str(LEVEL), "-b", "131072", "-no-progress", "-quiet", "-noappend"],
                   check=True, stdout=subprocess.DEVNULL)


def fixture(bench, repository, image, version):
    """A repository of the scenarios, and how its base is built cold."""
    made = repository(bench.WORK / repository.__name__.lower(), image).make(version)
    profile = made.derive(bench.ROOT / "qemu-tests/profiles/dev.yaml")
    text = re.sub(r"^layers:.*", "layers: []", profile.read_text(), flags=re.M)
    profile.write_text(re.sub(r"^zstd_level:.*", f"zstd_level: {LEVEL}", text, flags=re.M))
    environment = {**made.environment, "WEBOPS_CACHE": str(bench.CACHE)}

    def build():
        bench.forget_nodes()
        return bench.timed(bench.PROGRAM, "build", profile, "-o", bench.WORK / "image", env=environment)
    build()
    return made, build


def stand_in(place):
    """An apt source with an empty package in the place of an initramfs generator, which a kernel asks for; our builder makes one like it."""
    tree = place / "tree"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "DEBIAN/control").write_text("Package: no-initramfs\nVersion: 1\nArchitecture: all\nProvides: linux-initramfs-tool\n"
                                         "Maintainer: bench <bench@example.org>\nDescription: empty\n")
    subprocess.run(["dpkg-deb", "--root-owner-group", "-b", tree, place], check=True, stdout=subprocess.DEVNULL)
    shutil.rmtree(tree)
    with open(place / "Packages", "w", encoding="utf-8") as index:
        subprocess.run(["dpkg-scanpackages", "."], cwd=place, check=True, stdout=index, stderr=subprocess.DEVNULL)
    return f"deb [trusted=yes] copy:{place} ./"


def ubuntu(bench, runs):
    import aptrepo
    made, cold = fixture(bench, aptrepo.Archive, "ubuntu-24.04", "1")
    codename = aptrepo.CODENAMES[made.image]
    names = ",".join(name for name in bench.base_packages(made.image))
    extra = stand_in(bench.WORK / "stand-in")

    def alone():
        target = bench.WORK / "ubuntu.squashfs"
        target.unlink(missing_ok=True)
        begin = time.monotonic()
        tar = subprocess.Popen(["mmdebstrap", "--quiet", "--variant=essential", "--format=tar", f"--include={names}", "--aptopt=APT::Install-Recommends false",
                                "--aptopt=Acquire::Check-Valid-Until false", codename, "-",
                                f"deb [trusted=yes] copy:{made.top}/ubuntu {codename} main", extra], stdout=subprocess.PIPE)
        subprocess.run(["mksquashfs", "-", target, "-tar", "-comp", "zstd", "-Xcompression-level", str(LEVEL), "-b", "131072", "-no-progress", "-quiet"],
                       stdin=tar.stdout, check=True, stdout=subprocess.DEVNULL)
        if tar.wait() != 0:
            raise SystemExit("bench: mmdebstrap failed")
        return time.monotonic() - begin
    compare(bench, "Ubuntu's fixture beside mmdebstrap", cold, alone, runs)


def rocky(bench, runs):
    import rpmrepo
    made, cold = fixture(bench, rpmrepo.Repository, "rocky-9", "1")
    sources = [word for name in ("baseos", "appstream") for word in ("--repofrompath", f"{name},file://{made.top}/{name}")]

    def alone():
        tree, target = bench.WORK / "rocky-tree", bench.WORK / "rocky.squashfs"
        shutil.rmtree(tree, ignore_errors=True)
        begin = time.monotonic()
        bench.run("dnf", "-q", "-y", f"--installroot={tree}", "--releasever=9", "--setopt=reposdir=/dev/null", "--setopt=install_weak_deps=False", "--nogpgcheck",
                  "--setopt=module_platform_id=platform:el9", *sources, "install", *bench.base_packages(made.image))
        squash(tree, target)
        return time.monotonic() - begin
    compare(bench, "Rocky's fixture beside dnf --installroot", cold, alone, runs)


def benches(bench):
    return {"cold-debian-11": lambda runs: debian(bench, "11", "bullseye", runs), "cold-debian-13": lambda runs: debian(bench, "13", "trixie", runs),
            "cold-ubuntu": lambda runs: ubuntu(bench, runs), "cold-rocky": lambda runs: rocky(bench, runs)}
