# SPDX-License-Identifier: Apache-2.0
"""What is packed: all that is needed, nothing else, and the same bytes wherever it is built."""

import hashlib
import os
import shutil
import subprocess
import tarfile

from conftest import ROOT
from image.conftest import TAR, run, succeed

PROGRAMS = {"bodegactl", "gateway", "orders", "payments", "products", "users"}
SHARE = "usr/local/share/bodega"
BYTES_MAX = 30_000_000


def digest(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def test_two_builds_in_different_folders_are_the_same(rootfs, tmp_path):
    """The second one starts from nothing and may not look up what a compiler's cache remembers of the first."""
    other = tmp_path / "a-checkout-with-quite-another-name"
    for name in succeed("git", "-C", ROOT, "ls-files", "-z").split("\0"):
        if name and os.path.lexists(os.path.join(ROOT, name)):
            os.makedirs(os.path.dirname(other / name), exist_ok=True)
            shutil.copy(os.path.join(ROOT, name), other / name, follow_symlinks=False)
    epoch = str(next(iter(rootfs.values())).mtime)
    subprocess.run(["make", "rootfs"], cwd=other, check=True, stdout=subprocess.DEVNULL,
                   env={**os.environ, "SOURCE_DATE_EPOCH": epoch, "CCACHE_DISABLE": "1", "TZ": "Asia/Tokyo", "LC_ALL": "C"})
    assert digest(other / "build/image/rootfs.tar") == digest(TAR), differences(other / "build/image/rootfs.tar")


def differences(path):
    with tarfile.open(path) as new, tarfile.open(TAR) as old:
        names = sorted({*new.getnames(), *old.getnames()})
        content = lambda tar, name: name in tar.getnames() and (e := tar.getmember(name)).isfile() and tar.extractfile(e).read()
        return [name for name in names if content(new, name) != content(old, name)]


def test_it_is_small(rootfs):
    assert sum(entry.size for entry in rootfs.values()) <= BYTES_MAX


def test_names_are_sorted_and_nothing_tells_who_packed_it(rootfs):
    assert list(rootfs) == sorted(rootfs)
    assert {entry.mtime for entry in rootfs.values()} == {rootfs["tmp"].mtime}
    assert {(entry.uid, entry.gid, entry.uname, entry.gname) for entry in rootfs.values()} == {(0, 0, "", "")}


def test_nobody_but_root_could_change_anything(rootfs):
    writable = [name for name, entry in rootfs.items() if not entry.issym() and entry.mode & 0o022]
    assert writable == ["tmp"]
    assert not [name for name, entry in rootfs.items() if entry.mode & 0o6000]


def test_the_programs_are_all_that_can_be_run(rootfs):
    programs = {name for name, entry in rootfs.items() if entry.isfile() and entry.mode & 0o111 and "/lib/" not in name}
    assert programs == {f"usr/local/bin/{name}" for name in PROGRAMS}


def test_libraries_are_those_that_are_needed(tmp_path, rootfs):
    with tarfile.open(TAR) as tar:
        tar.extractall(tmp_path)
    folder = next(tmp_path.glob("usr/lib/*-linux-gnu"))
    needed = {"libgcc_s.so.1"}  # libc loads it by itself when a thread ends
    for path in [*tmp_path.glob("usr/local/bin/*"), *folder.iterdir()]:
        needed |= {line.split("[")[1].rstrip("]") for line in succeed("readelf", "-dW", str(path)).splitlines() if "(NEEDED)" in line}
    assert {path.name for path in folder.iterdir()} == needed


def test_what_programs_look_for_is_there(rootfs):
    migrations = {os.path.relpath(os.path.join(folder, name), ROOT)
                  for folder, _, names in os.walk(os.path.join(ROOT, "migrations")) for name in names}
    assert {f"{SHARE}/{name}" for name in migrations} == {name for name in rootfs if name.endswith(".sql")}
    for name in ("index.html", "openapi.json", "openapi.yaml", "swagger-ui-bundle.js"):
        assert f"{SHARE}/docs/{name}" in rootfs


def test_the_authorities_are_mozillas_and_not_this_machines(rootfs):
    with tarfile.open(TAR) as tar:
        bundle = tar.extractfile("etc/ssl/certs/ca-certificates.crt").read()
    assert bundle.count(b"BEGIN CERTIFICATE") > 100
    own = os.path.join("/usr/local/share/ca-certificates")
    for folder, _, names in os.walk(own):
        for name in names:
            with open(os.path.join(folder, name), "rb") as file:
                assert file.read().strip() not in bundle, name


def test_a_library_that_is_not_its_packages_is_refused(tmp_path):
    """The packing asks dpkg, so this takes a package's word for another: the sums of a foreign file do not fit."""
    code = ("import sys; sys.path.insert(0, 'tools'); import rootfs\n"
            "path = next(iter(rootfs.libraries(['/bin/true'], 'x86_64-linux-gnu').values()))\n"
            "packages = rootfs.Packages([path])\n"
            "assert packages.take(path)\n"
            "packages.sums = {name: '0' * 32 for name in packages.sums}\n"
            "packages.take(path)\n")
    refused = run("/usr/bin/python3", "-c", code, cwd=ROOT)
    assert refused.returncode == 1 and "install it again" in refused.stderr, refused.stderr
