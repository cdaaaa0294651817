"""Archives and compressed files. Times and owners are fixed."""

import gzip
import io
import lzma
import bz2
import tarfile
import tempfile
import zipfile
from pathlib import Path

from environment import output

from .fixtures_folder import CLOCK, EPOCH
from .images import png_bytes

STORY = b"".join(b"Line %d of a story that compresses rather well.\n" % number for number in range(200))
TABLE = "city,people\nŁódź,670642\n".encode()
MEMBERS = {"hello.txt": b"hello from inside\n", "folder/story.txt": STORY, "folder/table.csv": TABLE}


def zipped(members, stored=()):
    """A zip archive; a name that ends with `/` is a folder."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            info = zipfile.ZipInfo(name, CLOCK)
            info.create_system, info.external_attr = 3, 0o644 << 16
            info.compress_type = zipfile.ZIP_STORED if name in stored or not content else zipfile.ZIP_DEFLATED
            if name.endswith("/"):
                info.external_attr = 0o40755 << 16 | 0x10
            archive.writestr(info, content)
    return buffer.getvalue()


def tarred(members):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        folder = tarfile.TarInfo("folder")
        folder.type, folder.mode, folder.mtime = tarfile.DIRTYPE, 0o755, EPOCH
        archive.addfile(folder)
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(content), EPOCH
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def zstandard(content):
    import zstandard

    return zstandard.ZstdCompressor(level=9, write_content_size=True).compress(content)


def lz4(path):
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "story.txt")
        source.write_bytes(STORY)
        output("lz4", "-q", "-f", source, path)


def gzipped(content, name):
    buffer = io.BytesIO()
    with gzip.GzipFile(name, "wb", fileobj=buffer, mtime=EPOCH) as file:
        file.write(content)
    return buffer.getvalue()


def seven_zip(path):
    with tempfile.TemporaryDirectory() as folder:
        for name, content in MEMBERS.items():
            target = Path(folder, name)
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(content)
        output("7z", "a", "-bd", "-mtm-", "-mtc-", "-mta-", path.resolve(), "hello.txt", "folder", cwd=folder)


def make(fixtures):
    inner = zipped({"a.txt": b"deep inside\n", "deeper/b.csv": TABLE})
    many = {**MEMBERS, "folder/empty/": b"", "stored.txt": STORY[:500], "żółw/日本語.txt": "文字\n".encode()}
    many |= {"picture.png": png_bytes(), "inner.zip": inner, "nothing.txt": b""}
    fixtures.add("many.zip", "archive", "zip", lambda _: zipped(many, stored={"stored.txt", "inner.zip"}))
    tar = tarred({**MEMBERS, "żółw/日本語.txt": "文字\n".encode(), f"{'long/' * 30}name.txt": b"a long path\n"})
    fixtures.add("members.tar", "archive", "tar", lambda _: tar)
    fixtures.add("members.tar.gz", "archive", "tar", lambda _: gzipped(tar, "members.tar"))
    fixtures.add("members.tar.zst", "archive", "tar", lambda _: zstandard(tar))
    fixtures.add("members.7z", "archive", "7z", seven_zip)
    fixtures.add("story.txt.gz", "archive", "compressed", lambda _: gzipped(STORY, "story.txt"))
    fixtures.add("story.txt.zst", "archive", "compressed", lambda _: zstandard(STORY))
    # Two streams behind each other are one content.
    fixtures.add("story.txt.bz2", "archive", "compressed", lambda _: bz2.compress(STORY[:999]) + bz2.compress(STORY[999:]))
    fixtures.add("story.txt.xz", "archive", "compressed", lambda _: lzma.compress(STORY[:999]) + lzma.compress(STORY[999:]))
    fixtures.add("story.txt.lz4", "archive", "compressed", lz4)
    fixtures.add("members.tar.xz", "archive", "tar", lambda _: lzma.compress(tar))
