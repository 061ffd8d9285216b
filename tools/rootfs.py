#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Packs the image's root file system: build/image/rootfs.tar, and beside it the Debian packages that it was made of.

It holds the programs, stripped, the shared libraries that they need and no others, Mozilla's certificate authorities,
migrations and documentation: no shell. Two builds of one commit give the same bytes, whoever makes them and where: names are sorted, times are the commit's (SOURCE_DATE_EPOCH), everything is
root's, and what comes from Debian must be what its package holds.
"""

import argparse
import glob
import hashlib
import io
import json
import os
import re
import subprocess
import sys
import tarfile
import urllib.request

import yaml

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
OUT = os.path.join(ROOT, "build/image")
PROGRAMS = ("bodegactl", "gateway", "orders", "payments", "products", "users")
SHARE = "usr/local/share/bodega"
BYTES_MAX = 30_000_000

# Mozilla's authorities as Debian packs them, for any architecture: this package and no other, so never those that this
# machine trusts. The archive keeps the newest version, snapshot.debian.org every one.
CA_VERSION = "20250419~deb12u2"
CA_SHA256 = "b9f76b5271a7ac373fd5e7e1b5b826a71ddd702b42a0d104955ecb1acfffc94b"
CA_NAME = f"ca-certificates_{CA_VERSION}_all.deb"
CA_PLACES = (
    "http://deb.debian.org/debian-security/pool/updates/main/c/ca-certificates/",
    "http://deb.debian.org/debian/pool/main/c/ca-certificates/",
    "http://snapshot.debian.org/archive/debian-security/20260101T000000Z/pool/updates/main/c/ca-certificates/",
)

# libc loads it when a thread ends (those that look up names do) and ends the process when it is not there.
UNNAMED = "libgcc_s.so.1"

TRIPLETS = {"Advanced Micro Devices X86-64": "x86_64-linux-gnu", "AArch64": "aarch64-linux-gnu"}

PASSWD = """\
root:x:0:0:root:/:/sbin/nologin
bodega:x:65532:65532:bodega:/:/sbin/nologin
nobody:x:65534:65534:nobody:/:/sbin/nologin
"""
GROUP = """\
root:x:0:
bodega:x:65532:
nogroup:x:65534:
"""


class Failed(Exception):
    """What could not be done, in words for the person who asked for it."""


def run(*command):
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode != 0:
        raise Failed(f"{' '.join(command)}: {done.stderr.decode().strip()}")
    return done.stdout


def read(*names):
    with open(os.path.join(*names), "rb") as file:
        return file.read()


class Tree:
    """Files and links by their name, to be written sorted."""

    def __init__(self):
        self.files = {}
        self.links = {}

    def add(self, name, data, mode=0o644):
        self.files[name] = (data, mode)

    def link(self, name, target):
        self.links[name] = target

    def folders(self):
        """Every folder that something lies in, and /tmp to mount something on."""
        found = {"tmp"}
        for name in (*self.files, *self.links):
            while name := os.path.dirname(name):
                found.add(name)
        return found

    def write(self, path, epoch):
        with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as tar:
            for name in sorted({*self.folders(), *self.files, *self.links}):
                entry = tarfile.TarInfo(name)
                entry.mtime = epoch
                data = None
                if name in self.files:
                    data, entry.mode = self.files[name]
                    entry.size = len(data)
                elif name in self.links:
                    entry.type, entry.linkname, entry.mode = tarfile.SYMTYPE, self.links[name], 0o777
                else:
                    entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if name == "tmp" else 0o755
                tar.addfile(entry, io.BytesIO(data) if data is not None else None)

    def sizes(self):
        """Bytes by part, the largest first."""
        parts = {}
        for name, (data, _) in self.files.items():
            part = next(part for start, part in PARTS if name.startswith(start))
            parts[part] = parts.get(part, 0) + len(data)
        return dict(sorted(parts.items(), key=lambda part: -part[1]))


PARTS = (
    ("usr/local/bin/", "programs"),
    ("usr/lib/", "shared libraries"),
    (f"{SHARE}/docs/", "Swagger UI, OpenAPI, pages"),
    (f"{SHARE}/migrations/", "migrations"),
    ("usr/share/doc/", "licences"),
    ("etc/ssl/", "certificate authorities"),
    ("", "accounts, list of packages"),
)


# ---- programs and what they need ----


def triplet_of(program):
    machine = re.search(r"Machine: +(.+)", run("readelf", "--file-header", program).decode()).group(1)
    if machine not in TRIPLETS:
        raise Failed(f"{program} is for {machine}, which has no image: {', '.join(TRIPLETS)}")
    return TRIPLETS[machine]


def needed(path):
    """The shared libraries that a program or library names, the loader among them."""
    return re.findall(r"\(NEEDED\).*\[(.+)\]", run("readelf", "--dynamic", "--wide", path).decode())


def loader(program):
    return re.search(r"program interpreter: (.+)\]", run("readelf", "--program-headers", "--wide", program).decode()).group(1)


def libraries(programs, triplet):
    """All that the programs need, directly or not: {name: file}."""
    found, wanted = {}, [UNNAMED, *(name for program in programs for name in needed(program))]
    while wanted:
        name = wanted.pop()
        if name in found:
            continue
        paths = [path for folder in (f"/usr/lib/{triplet}", f"/lib/{triplet}") if os.path.exists(path := f"{folder}/{name}")]
        if not paths:
            raise Failed(f"{name}: not in /usr/lib/{triplet}")
        found[name] = os.path.realpath(paths[0])
        wanted += needed(found[name])
    return found


class Packages:
    """The Debian packages that files of this machine came from; each file must be what its package put there."""

    def __init__(self, paths):
        self.owners = self.find_owners(paths)
        self.sums = {}
        for name in set(self.owners.values()):
            self.sums.update(self.sums_of(name))

    @staticmethod
    def find_owners(paths):
        """{file: package}. Where /usr is merged, a package may know its file by either name."""
        names = {name: path for path in paths for name in (path, path.removeprefix("/usr"))}
        done = subprocess.run(["dpkg-query", "--search", *names], capture_output=True, text=True, check=False)
        owners = {names[name]: owner for owner, name in re.findall(r"^(\S+): (.+)$", done.stdout, re.M) if name in names}
        for path in paths:
            if path not in owners:
                raise Failed(f"{path} comes from no Debian package")
        return owners

    @staticmethod
    def sums_of(owner):
        for name in (owner, owner.split(":")[0]):
            if os.path.exists(path := f"/var/lib/dpkg/info/{name}.md5sums"):
                lines = read(path).decode().splitlines()
                return {"/" + name.removeprefix("usr/"): digest for digest, name in (line.split("  ", 1) for line in lines)}
        raise Failed(f"dpkg knows no sums of {owner}")

    def take(self, path):
        data = read(path)
        if hashlib.md5(data, usedforsecurity=False).hexdigest() != self.sums.get(path.removeprefix("/usr")):
            raise Failed(f"{path} is not what its package {self.owners[path]} holds: install it again")
        return data

    def show(self, form):
        """What dpkg says of each package, in the order of their names: {package: text}."""
        shown = run("dpkg-query", "--show", "--showformat", "${Package}\n" + form + "\f", *set(self.owners.values())).decode()
        return dict(sorted(entry.split("\n", 1) for entry in shown.split("\f") if entry))

    def add_lists(self, tree):
        """Each package's entry as scanners look for it (as in Debian's distroless images), and its licence."""
        for name, status in self.show(STATUS).items():
            tree.add(f"var/lib/dpkg/status.d/{name}", status.encode())
            tree.add(f"usr/share/doc/{name}/copyright", read(f"/usr/share/doc/{name}/copyright"))


STATUS = ("Package: ${Package}\nStatus: install ok installed\nArchitecture: ${Architecture}\nVersion: ${Version}\n"
          "Source: ${source:Package} (${source:Version})\nMaintainer: ${Maintainer}\nDescription: ${binary:Summary}\n")


def add_programs(tree, build):
    """The programs and their libraries; returns the packages that these came from."""
    paths = [os.path.join(build, "bin", program) for program in PROGRAMS]
    for path in paths:
        if not os.path.exists(path):
            raise Failed(f"{path} is not built: `make rootfs` does that")
    triplet = triplet_of(paths[0])
    for path in paths:
        stripped = os.path.join(OUT, os.path.basename(path))
        run(f"{triplet}-strip", "--strip-all", "-o", stripped, path)
        tree.add(f"usr/local/bin/{os.path.basename(path)}", read(stripped), 0o755)
        os.unlink(stripped)
    found = libraries(paths, triplet)
    packages = Packages(found.values())
    for name, path in found.items():
        tree.add(f"usr/lib/{triplet}/{name}", packages.take(path), 0o755)
    add_loader(tree, loader(paths[0]), f"usr/lib/{triplet}")
    return packages


def add_loader(tree, path, folder):
    """Links that lead from the loader's name in each program to where it lies among the libraries."""
    top = path.split("/")[1]
    tree.link(top, "usr/" + top)
    tree.link("usr" + path, os.path.relpath(f"{folder}/{os.path.basename(path)}", "usr/" + top))


# ---- the rest ----


def authorities():
    """The package's file, from build/downloads once it has been there."""
    path = os.path.join(ROOT, "build/downloads", CA_NAME)
    if os.path.exists(path) and hashlib.sha256(read(path)).hexdigest() == CA_SHA256:
        return path
    os.makedirs(os.path.dirname(path), exist_ok=True)
    problems = []
    for place in CA_PLACES:
        url = place + CA_NAME.replace("~", "%7e")
        try:
            with urllib.request.urlopen(url, timeout=60) as answer:
                data = answer.read()
        except OSError as error:
            problems.append(f"{url}: {error}")
            continue
        if hashlib.sha256(data).hexdigest() != CA_SHA256:
            problems.append(f"{url}: other bytes than those that were pinned")
            continue
        with open(path, "wb") as file:
            file.write(data)
        return path
    raise Failed("\n".join(problems))


def add_authorities(tree):
    with tarfile.open(fileobj=io.BytesIO(run("dpkg-deb", "--fsys-tarfile", authorities()))) as package:
        names = sorted(name for name in package.getnames() if re.fullmatch(r"\./usr/share/ca-certificates/mozilla/.+\.crt", name))
        bundle = b"".join(package.extractfile(name).read().rstrip(b"\n") + b"\n" for name in names)
        tree.add("usr/share/doc/ca-certificates/copyright", package.extractfile("./usr/share/doc/ca-certificates/copyright").read())
    tree.add("etc/ssl/certs/ca-certificates.crt", bundle)
    tree.link("usr/lib/ssl/cert.pem", "/etc/ssl/certs/ca-certificates.crt")  # where OpenSSL looks when nobody says where


def add_documents(tree):
    for path in sorted(glob.glob(os.path.join(ROOT, "migrations/*/*.sql"))):
        tree.add(f"{SHARE}/{os.path.relpath(path, ROOT)}", read(path))
    pages = glob.glob(os.path.join(ROOT, "build/docs/*.*")) + glob.glob(os.path.join(ROOT, "api/docs/*"))
    for path in sorted(pages):
        tree.add(f"{SHARE}/docs/{os.path.basename(path)}", read(path))
    openapi = read(ROOT, "api/openapi.yaml")
    tree.add(f"{SHARE}/docs/openapi.yaml", openapi)
    tree.add(f"{SHARE}/docs/openapi.json", json.dumps(yaml.safe_load(openapi), separators=(",", ":")).encode())


def add_accounts(tree):
    tree.add("etc/passwd", PASSWD.encode())
    tree.add("etc/group", GROUP.encode())
    tree.add("etc/nsswitch.conf", b"passwd: files\ngroup: files\nhosts: files dns\n")


def commit_time():
    """When what is packed was made: SOURCE_DATE_EPOCH, else the commit's time."""
    text = os.environ.get("SOURCE_DATE_EPOCH") or run("git", "-C", ROOT, "log", "-1", "--format=%ct").decode().strip()
    if not text.isdigit():
        raise Failed(f"SOURCE_DATE_EPOCH={text}: must be seconds since 1970")
    return int(text)


def pack(build):
    """Writes rootfs.tar and the list of packages; returns the sizes of the parts."""
    tree, epoch = Tree(), commit_time()
    packages = add_programs(tree, build)
    add_authorities(tree)
    add_documents(tree)
    add_accounts(tree)
    packages.add_lists(tree)
    tree.write(os.path.join(OUT, "rootfs.tar"), epoch)
    versions = {**packages.show("${Version}"), "ca-certificates": CA_VERSION}
    with open(os.path.join(OUT, "packages"), "w", encoding="ascii") as file:
        file.write(" ".join(f"{name}={version}" for name, version in sorted(versions.items())) + "\n")
    return tree.sizes()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", default="build/release", help="the folder of the build (default: %(default)s)")
    os.makedirs(OUT, exist_ok=True)
    try:
        sizes = pack(os.path.join(ROOT, parser.parse_args().build))
    except Failed as failed:
        print(f"rootfs: {failed}", file=sys.stderr)
        return 1
    for part, size in sizes.items():
        print(f"{size:>11,}  {part}")
    print(f"{sum(sizes.values()):>11,}  in all, of at most {BYTES_MAX:,}: build/image/rootfs.tar")
    if sum(sizes.values()) > BYTES_MAX:
        print("rootfs: too large", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
