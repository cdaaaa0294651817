#!/usr/bin/env python3
"""Downloads the packages of `packages.tsv` by their registries' own clients, checks their hashes and unpacks them.

    fetch.py DIR            archives go to DIR/archives, their files to DIR/packages/REGISTRY/NAME

Registries: `deb` and `debsrc` (apt-get of Debian 12; `debsrc` needs a deb-src line), `pypi` (pip), `npm`, `crates`
(cargo). An archive that is already there and has the right hash is not fetched again. Nothing of a package is run, but for the
setup script of a source archive on PyPI, which pip asks for its metadata.

A package that a registry does not serve any more, or serves with other bytes, does not stop the others: what is
missing is listed at the end, one line a package, and the exit code is 1. An archive of that name and hash from
anywhere else, laid into DIR/archives, serves as well.
"""
import csv
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).parent
# Without it apt-get warns of every folder that its own user cannot write.
AS_ROOT = ("-o", "APT::Sandbox::User=root")


def packages():
    """The rows of `packages.tsv`."""
    with open(HERE / "packages.tsv", newline="") as table:
        return list(csv.DictReader(table, delimiter="\t"))


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


class Missing(Exception):
    """Why a package's archive could not be had."""


def run(*command, cwd=None):
    """Runs a registry's client quietly; what it said of errors is the reason when it fails."""
    try:
        done = subprocess.run(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    except FileNotFoundError:
        raise Missing(f"there is no `{command[0]}` here") from None
    if done.returncode != 0:
        lines = [line for line in done.stdout.splitlines() if line.strip()] or ["nothing"]
        told = [line for line in lines if line.startswith(("E:", "ERROR", "error", "npm error"))] or lines
        raise Missing(f"`{pathlib.Path(command[0]).name}` said: " + "; ".join(line.strip()[:120] for line in told[:3]))


def download(row, into):
    """Fetches one package's archive into the folder `into`."""
    name, version = row["package"], row["version"]
    if row["registry"] == "deb":
        run("apt-get", "download", *AS_ROOT, f"{name}={version}", cwd=into)
    elif row["registry"] == "debsrc":
        run("apt-get", "source", "--download-only", *AS_ROOT, f"{name}={version}", cwd=into)
    elif row["registry"] == "npm":
        run("npm", "pack", "--loglevel=error", f"{name}@{version}", cwd=into)
    elif row["registry"] == "pypi":
        kind = ["--no-binary", ":all:"] if row["archive"].endswith(".tar.gz") else ["--only-binary", ":all:", "--python-version", "3.11"]
        run(sys.executable, "-m", "pip", "download", "-q", "--no-deps", *kind, "-d", str(into), f"{name}=={version}")
    elif row["registry"] == "crates":
        with tempfile.TemporaryDirectory() as home:
            manifest = pathlib.Path(home) / "Cargo.toml"
            manifest.write_text(
                f'[package]\nname = "fetch"\nversion = "0.0.0"\nedition = "2021"\n[lib]\npath = "lib.rs"\n'
                f'[dependencies]\n{name} = {{ version = "={version.split("+")[0]}", default-features = false }}\n'
            )
            (pathlib.Path(home) / "lib.rs").touch()
            run("cargo", "fetch", "--manifest-path", str(manifest))
            cargo_home = pathlib.Path(os.environ.get("CARGO_HOME", pathlib.Path.home() / ".cargo"))
            for crate in cargo_home.glob(f"registry/cache/*/{row['archive']}"):
                shutil.copy(crate, into)
    else:
        raise SystemExit(f"unknown registry {row['registry']}")


def unpack(archive, into):
    """Unpacks `archive`; refuses members that would leave `into`."""
    into.mkdir(parents=True)
    if archive.suffix == ".deb":
        run("dpkg-deb", "-x", str(archive), str(into))
    elif archive.suffix == ".whl":
        shutil.unpack_archive(archive, into, "zip")
    else:
        kind = {".xz": "xztar", ".bz2": "bztar"}.get(archive.suffix, "gztar")
        shutil.unpack_archive(archive, into, kind, filter="data")


def fetch(row, archives, unpacked):
    """Makes one package's files be there; true if they were not before."""
    archive, into = archives / row["archive"], unpacked / row["registry"] / row["package"]
    if not archive.exists():
        download(row, archives)
    if not archive.exists():
        raise Missing(f"the client did not bring `{archive.name}`")
    found = sha256(archive)
    if found != row["sha256"]:
        raise Missing(f"`{archive}` has the hash {found}, expected {row['sha256']}")
    if into.exists():
        return False
    partial = into.with_name(into.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    unpack(archive, partial)
    partial.rename(into)
    return True


def main(root):
    archives, unpacked = root / "archives", root / "packages"
    archives.mkdir(parents=True, exist_ok=True)
    rows, missing = packages(), []
    for row in rows:
        title = f"{row['registry']} {row['package']} {row['version']}"
        try:
            if fetch(row, archives, unpacked):
                print(title, flush=True)
        except Missing as why:
            missing.append(f"{title}: {why}")
    if missing:
        raise SystemExit(f"{len(missing)} of {len(rows)} packages are missing:\n" + "\n".join(missing))
    print(f"all {len(rows)} packages are there, their hashes as recorded")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
