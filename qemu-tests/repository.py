# SPDX-License-Identifier: Apache-2.0
"""What repositories made by scenarios have in common: a key, and a tree of recipes with the real image definition, which differs by that key alone."""
import re
import subprocess

import generations
import images
import yaml
from vm import ROOT


def run(*command, **options):
    result = subprocess.run([str(word) for word in command], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, **options)
    assert result.returncode == 0, f"{command} ended with {result.returncode}:\n{result.stdout[-3000:]}"
    return result.stdout


def definition(image):
    """The shipped definition of an image."""
    return yaml.safe_load((ROOT / "images" / f"{image}.yaml").read_text())


def make_key(home):
    """A key without a passphrase in a directory of its own, and key.asc; returns its fingerprint."""
    home.mkdir(mode=0o700)
    gpg = ["gpg", "--batch", "--homedir", home]
    run(*gpg, "--passphrase", "", "--quick-generate-key", "fixture <fixture@example.org>", "rsa3072", "sign", "never")
    (home / "key.asc").write_text(run(*gpg, "--armor", "--export", "fixture"))
    return re.search(r"^fpr:*([0-9A-F]{40}):", run(*gpg, "--with-colons", "--list-keys"), re.M).group(1)


def stop_agent(home):
    """gpg starts one per home directory and leaves it running."""
    run("gpgconf", "--homedir", home, "--kill", "all")


def on_image(text, image, kernel=None):
    """A profile of another image; `kernel` stands for every kernel package that it may name."""
    text = generations.changed(text, "^image: .*", f"image: {image}")
    return re.sub(r"^kernel: .*", f"kernel: {kernel}", text, flags=re.MULTILINE) if kernel else text


class Recipes:
    kernel = None

    def __init__(self, top, image):
        self.top, self.image, self.home = top, image, top / "gnupg"

    def write(self, keyring, fingerprint, mirrors):
        """images/ with our key in the shipped definition, and the list of mirrors; everything is signed by then."""
        stop_agent(self.home)
        text = (ROOT / "images" / f"{self.image}.yaml").read_text()
        text, count = re.subn(r"keyring: .*", f"keyring: {keyring}", text)
        assert count == 2 and text.count("keys: [") == 2, "the definition should name two sources with keys"
        text = re.sub(r"keys: .*", f"keys: [{fingerprint}]", text)
        (self.top / "images").mkdir(exist_ok=True)
        (self.top / "images" / f"{self.image}.yaml").write_text(text)
        (self.top / "mirrors").write_text("".join(f"{name} file://{path}\n" for name, path in mirrors.items()))

    @property
    def environment(self):
        return images.environment(WEBOPS_MIRRORS=self.top / "mirrors")

    def derive(self, profile):
        """A profile for Debian 12 on this repository's distribution."""
        return generations.write(self.top, profile.stem, on_image(profile.read_text(), self.image, kernel=self.kernel))
