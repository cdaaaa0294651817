#!/usr/bin/env python3
"""Downloads source packages whose tests hold files of many formats, and lists those files with what they are.

`corpus.py DIR` fills `DIR/packages` (the archives, hashes verified), `DIR/files` (unpacked) and `DIR/files.json`. Only the archives are
fetched, through pip's own session and index; nothing in them is built or run. Many of the files may not be passed on, and some
are damaged on purpose: the corpus is for tests on this machine.
"""

import argparse
import hashlib
import json
import pathlib
import shutil
import sys
import tarfile
import zipfile

import environment
import truths

PACKAGES = {
    "pypdf": "7.1.0",  # PDFs, encrypted ones of every revision
    "ocrmypdf": "17.13.0",  # scans
    "pikepdf": "10.18.0",
    "mutagen": "1.48.1",  # sound of twenty kinds
    "tinytag": None,
    "pyelftools": "0.33",  # ELF of many machines
    "macholib": None,
    "python-docx": "1.2.0",
    "python-pptx": "1.0.2",
    "pillow": "13.0.0",  # pictures, broken ones too
    "puremagic": None,  # one file a format
    "pygments": None,  # programs in hundreds of languages
    "charset-normalizer": None,  # text in old charsets
    "html5lib": None,
    "lxml": None,
    "ebooklib": None,
    "mail-parser": None,
    "py7zr": None,
    "beautifulsoup4": None,
    "hachoir": None,
    "python-calamine": None,  # tables of office programs
    "odfpy": None,
}
LARGEST_PACKAGE = 200 << 20
LARGEST_FILE = 32 << 20
LARGEST_UNPACKED = 1 << 30
MOST_OF_A_KIND = 60


class Index:
    """The package index that pip is set up to use, through pip's own client."""

    def __init__(self):
        from pip._internal.commands import create_command

        command = create_command("download")
        options, _ = command.parse_args(["--no-deps", "pip"])
        self.session = command._build_session(options)
        self.finder = command._build_package_finder(options, self.session)

    def source_package(self, name, version):
        """The link of the newest source package of `name`, or of the one of this version."""
        found = self.finder.find_all_candidates(name)
        sources = [one for one in found if not one.link.is_wheel and not one.link.is_yanked and not one.version.is_prerelease]
        sources = [one for one in sources if version is None or str(one.version) == version]
        if not sources:
            raise LookupError("no such source package")
        return max(sources, key=lambda one: one.version).link

    def fetch(self, link, target):
        """Writes the file when it has the hash that the index gives for it."""
        response = self.session.get(link.url, headers={"Accept-Encoding": "identity"}, stream=True)
        response.raise_for_status()
        content = b""
        for chunk in response.iter_content(1 << 20):
            content += chunk
            if len(content) > LARGEST_PACKAGE:
                raise ValueError(f"more than {LARGEST_PACKAGE} bytes")
        if not link.hash_name or hashlib.new(link.hash_name, content).hexdigest() != link.hash:
            raise ValueError("the index gives no hash, or another one")
        target.write_bytes(content)


def unpack(archive, target):
    """Writes the regular files of an archive below `target`; links, devices and paths that lead elsewhere are left out."""
    n_left_out = 0
    total = 0
    for name, size, read in _members(archive):
        path = (target / name).resolve()
        total += size
        if total > LARGEST_UNPACKED:
            raise ValueError(f"more than {LARGEST_UNPACKED} bytes inside")
        if size > LARGEST_FILE or not path.is_relative_to(target.resolve()):
            n_left_out += 1
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            shutil.copyfileobj(read(), file)
    return n_left_out


def _members(archive):
    """(path, size, how to open it) of the regular files."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as opened:
            for info in opened.infolist():
                if not info.is_dir():
                    yield info.filename, info.file_size, lambda info=info: opened.open(info)
    else:
        with tarfile.open(archive) as opened:
            for info in opened:
                if info.isfile():
                    yield info.name, info.size, lambda info=info: opened.extractfile(info)


def listing(folder):
    """The files of known kinds, at most so many of an extension, taken from the packages in turn."""
    by_extension = {}
    for path in sorted(folder.rglob("*")):
        known = truths.of_path(path)
        if known and path.is_file() and path.stat().st_size:
            package = path.relative_to(folder).parts[0]
            by_extension.setdefault(truths.extension(path), {}).setdefault(package, []).append(path)
    rows = []
    for name, packages in sorted(by_extension.items()):
        turns = [(place, package, path) for package, paths in packages.items() for place, path in enumerate(_spread(paths))]
        for _, _, path in sorted(turns)[:MOST_OF_A_KIND]:
            truth = truths.KINDS[name]
            row = {"path": str(path.relative_to(folder)), "extension": name, "modality": truth.modality, "format": truth.formats[0]}
            rows.append(row)
    return rows


def _spread(paths):
    """So many of `paths`, spread over them, since neighbours are often alike."""
    step = max(1, len(paths) // MOST_OF_A_KIND)
    return paths[::step]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dir", type=pathlib.Path, help="folder to fill; what is there already is not fetched again")
    parser.add_argument("--only", nargs="+", choices=PACKAGES, default=list(PACKAGES), metavar="PACKAGE")
    arguments = parser.parse_args()
    environment.enter()
    packages, files = arguments.dir / "packages", arguments.dir / "files"
    packages.mkdir(parents=True, exist_ok=True)
    index = None
    failed = []
    for name in arguments.only:
        if (files / name).exists():
            continue
        scratch = files / f".{name}"
        try:
            index = index or Index()
            link = index.source_package(name, PACKAGES[name])
            archive = packages / link.filename
            if not archive.exists():
                index.fetch(link, archive)
            n_left_out = unpack(archive, scratch)
            scratch.rename(files / name)
            print(f"{link.filename}: {archive.stat().st_size >> 10} KiB{f', {n_left_out} files left out' if n_left_out else ''}", flush=True)
        except Exception as error:  # noqa: BLE001 - one package that fails must not keep the others away
            shutil.rmtree(scratch, ignore_errors=True)
            failed.append(name)
            print(f"{name}: {type(error).__name__}: {error}", flush=True)
    rows = listing(files)
    (arguments.dir / "files.json").write_text(json.dumps(rows, indent=0) + "\n")
    print(f"{len(rows)} files of {len({row['extension'] for row in rows})} extensions; packages that failed: {failed or 'none'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
