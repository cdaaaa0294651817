#!/usr/bin/env python3
"""Downloads the packages of `packages.tsv` by their registries' own clients, checks their hashes and unpacks them.

    fetch.py DIR            archives go to DIR/archives, their files to DIR/packages/REGISTRY/NAME

Registries: `deb` and `debsrc` (apt-get of Debian 12; `debsrc` needs a deb-src line), `pypi` (pip), `npm`, `crates`
(cargo). An archive that is already there and has the right hash is not fetched again. Nothing of a package is run.
"""
import csv
import hashlib
import pathlib
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).parent


def packages():
    """The rows of `packages.tsv`."""
    with open(HERE / "packages.tsv", newline="") as table:
        return list(csv.DictReader(table, delimiter="\t"))


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def run(*command, cwd=None):
    subprocess.run(command, cwd=cwd, check=True, stdout=subprocess.DEVNULL)


def download(row, into):
    """Fetches one package's archive into the folder `into`."""
    name, version = row["package"], row["version"]
    if row["registry"] == "deb":
        run("apt-get", "download", f"{name}={version}", cwd=into)
    elif row["registry"] == "debsrc":
        run("apt-get", "source", "--download-only", "-qq", f"{name}={version}", cwd=into)
    elif row["registry"] == "npm":
        run("npm", "pack", "--silent", f"{name}@{version}", cwd=into)
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
            cargo_home = pathlib.Path.home() / ".cargo"
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


def main(root):
    archives, unpacked = root / "archives", root / "packages"
    archives.mkdir(parents=True, exist_ok=True)
    for row in packages():
        archive = archives / row["archive"]
        if not archive.exists():
            download(row, archives)
        if not archive.exists():
            raise SystemExit(f"{row['registry']} {row['package']} {row['version']} did not give `{row['archive']}`")
        found = sha256(archive)
        if found != row["sha256"]:
            raise SystemExit(f"`{archive}` has the hash {found}, expected {row['sha256']}")
        into = unpacked / row["registry"] / row["package"]
        if not into.exists():
            unpack(archive, into)
            print(row["registry"], row["package"], row["version"], flush=True)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
