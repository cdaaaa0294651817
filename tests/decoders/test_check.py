#!/usr/bin/env python3
"""Tests of the comparisons, without blt-cli: hand-made outputs that are right must pass, and each spoiled one must fail.

`test_check.py FIXTURES` takes the folder that `fixtures.py` wrote.
"""

import argparse
import contextlib
import hashlib
import io
import json
import pathlib
import sqlite3
import struct
import sys
import tempfile
import unittest
import zipfile

import environment

COLUMNS = (
    "id parent view ordinal label name modality media_type byte_start byte_end source_start source_end member member_start member_end page"
    " frame table_index row x0 y0 x1 y1 sample_start sample_end sample_rate time_start time_end tensor_byte tensor_row"
).split()


class Writer:
    """Writes the sidecar and the tensors of one source as `blt-cli ingest` does, with patches of one byte."""

    def __init__(self, modality, source):
        self.modality, self.source = modality, source
        self.branches, self.content, self.problems = [], b"", []

    def view(self, label, content, media_type="application/octet-stream", units=(), name=None):
        view = self._branch(None, len([b for b in self.branches if b["parent"] is None]), label, name, 0, len(content))
        view |= {"view": view["id"], "media_type": media_type, "tensor_byte": len(self.content), "tensor_row": len(self.content)}
        self.content += content
        for ordinal, (unit_label, unit_name, start, end, *more) in enumerate(units):
            self._branch(view["id"], ordinal, unit_label, unit_name, start, end)
            self.branches[-1].update(more[0] if more else {})
        return self

    def _branch(self, parent, ordinal, label, name, start, end):
        branch = dict.fromkeys(COLUMNS) | {"id": len(self.branches) + 1, "parent": parent, "view": parent, "ordinal": ordinal}
        branch |= {"label": label, "name": name, "modality": self.modality, "byte_start": start, "byte_end": end}
        self.branches.append(branch)
        return branch

    def save(self, folder, path):
        database = sqlite3.connect(folder / f"{path}.hypergraph.db")
        database.execute("CREATE TABLE trunk (path, sha256, n_bytes, media_type, modality)")
        database.execute(f"CREATE TABLE branch ({', '.join(COLUMNS)})")
        database.execute("CREATE TABLE problem (ordinal, text)")
        digest = hashlib.sha256(self.source).digest()
        database.execute("INSERT INTO trunk VALUES (?, ?, ?, ?, ?)", (path, digest, len(self.source), "x/y", self.modality))
        places = ", ".join(f":{column}" for column in COLUMNS)
        database.executemany(f"INSERT INTO branch VALUES ({places})", self.branches)
        database.executemany("INSERT INTO problem VALUES (?, ?)", enumerate(self.problems))
        database.commit()
        database.close()
        n = len(self.content)
        arrays = {"bytes": ("U8", self.content, 1), "patch_lengths": ("I32", struct.pack("<i", 1) * n, 4)}
        arrays["entropies"] = ("F32", struct.pack("<f", 0.5) * n, 4)
        header, data = {}, b""
        for name, (dtype, content, _) in arrays.items():
            header[name] = {"dtype": dtype, "shape": [n], "data_offsets": [len(data), len(data) + len(content)]}
            data += content
        text = json.dumps(header).encode()
        (folder / f"{path}.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data)


def tiled(n_bytes, units):
    """`units` with gaps between them filled."""
    end, result = 0, []
    for unit in sorted(units, key=lambda unit: unit[2]):
        if unit[2] < end:
            continue
        if unit[2] > end:
            result.append(("gap", None, end, unit[2]))
        result.append(unit)
        end = unit[3]
    return result + ([("gap", None, end, n_bytes)] if end < n_bytes and result else [])


def tiles(frames, size=16):
    """Bytes and units of tiles of `size` pixels."""
    content, units = b"", []
    for number, frame in enumerate(frames):
        for y in range(0, frame.shape[0], size):
            for x in range(0, frame.shape[1], size):
                part = frame[y : y + size, x : x + size]
                box = {"frame": number, "x0": x, "y0": y, "x1": x + part.shape[1], "y1": y + part.shape[0]}
                units.append(("tile", None, len(content), len(content) + part.nbytes, box))
                content += part.tobytes()
    return content, units


def pieces(parts, label, **more):
    """Bytes and units of parts one after another."""
    content, units = b"", []
    for number, part in enumerate(parts):
        extra = {key: number for key in more.get("numbered", ())}
        units.append((label, None, len(content), len(content) + len(part), extra))
        content += part
    return content, units


def pretend(path, facts):
    """What a decoder without fault would give, made of the truth itself."""
    import numpy

    import truth

    source, check = path.read_bytes(), facts["check"]
    out = Writer(facts["modality"], source)
    whole, units, then = "application/octet-stream", [], []
    overlay = [("overlay", None, len(source) - facts["overlay"], len(source))] if "overlay" in facts else []
    add = lambda label, content, media_type="text/plain", units=(), name=None: then.append((label, content, media_type, units, name))

    def picture(label, frames, media_type):
        names = {1: "l", 3: "rgb", 4: "rgba"}
        frames = [frame[..., None] if frame.ndim == 2 else frame for frame in frames]
        frames = [numpy.ascontiguousarray(frame, frame.dtype.newbyteorder("<")) for frame in frames]
        height, width, channels = frames[0].shape
        content, units = tiles(frames)
        bits = 8 * frames[0].dtype.itemsize
        add(label, content, f"{media_type}; format={names[channels]}{bits}; width={width}; height={height}", units)

    def pcm():
        values = truth.samples(path, 2)
        add("pcm", values.astype("<f4").tobytes(), f"audio/x-raw; format=f32le; rate={facts.get('rate', 44100)}; channels=2")

    if check == "text" and facts["charset"] != "utf-8":
        add("decoded", source.decode(facts["charset"]).encode())
    elif check == "code":
        units = [("function", "area", 0, 10), ("line", None, 10, len(source))]
    elif check == "image":
        picture("pixels", truth.pictures(path), "image/x-raw")
    elif check == "audio":
        pcm()
    elif check == "video":
        frames = truth.film(path, facts["width"], facts["height"])
        media_type = f"video/x-raw; format=rgb24; width={facts['width']}; height={facts['height']}"
        content, units_of_frames = pieces([frame.tobytes() for frame in frames], "frame", numbered=["frame", "time_start"])
        add("frames", content, media_type, units_of_frames)
        if facts["sound"]:
            pcm()
        add("text", facts.get("subtitles", "").encode())
    elif check == "pdf" and facts.get("needs_ocr"):
        out.problems.append("page 1 has a picture and no text: it needs OCR")
    elif check == "pdf":
        pages = truth.pdf_text(path, facts.get("password", "")).split("\f")[:-1]
        add("text", *(lambda found: (found[0], "text/plain", found[1]))(pieces([p.encode() for p in pages], "page", numbered=["page"])))
    elif check == "elf":
        sections = [("section", name, start, start + size) for name, start, size in truth.elf_sections(path)]
        sections += overlay
        text = next(section for section in sections if section[1] == ".text")
        functions = {start: sorted(names)[0] for start, names in truth.elf_functions(path).items()}
        units = tiled(len(source), sections)
        out.functions = text, functions
    elif check in ("pe", "macho"):
        read = truth.pe_sections if check == "pe" else truth.macho_sections
        units = tiled(len(source), [("section", name, start, start + size) for name, start, size in read(path)] + overlay)
    elif check == "wasm":
        units = tiled(len(source), [("section", str(kind), start, start + size) for kind, start, size in facts["sections"]])
    elif check == "ar":
        units = tiled(len(source), [("member", name, start, start + size) for name, start, size in truth.ar_members(path)])
    elif check == "zip":
        members = truth.zip_members(path)
        units = tiled(len(source), [("member", name, header, end) for name, header, _, end in members])
        for name, *_ in members:
            content = truth.zip_content(path, name)
            add("raw", content, name=name)
            if name.endswith(".zip"):
                with zipfile.ZipFile(io.BytesIO(content)) as inner:
                    for deeper in inner.namelist():
                        add("raw", inner.read(deeper), name=f"{name}!/{deeper}")
    elif check in ("tar", "7z"):
        members = truth.tar_members(path) if check == "tar" else truth.seven_zip_members(path)
        if path.suffix == ".tar":
            starts = {name: source.index(content) for name, content in members.items()}
            units = tiled(len(source), [("member", name, at, at + len(members[name])) for name, at in starts.items()])
        for name, content in members.items():
            add("raw", content, name=f"members.tar!/{name}")
    elif check == "compressed":
        add("raw", truth.unpacked(path), name="story.txt")
    elif check in ("docx", "pptx", "odt", "epub", "rtf"):
        add("text", getattr(truth, f"{check}_text")(path).encode())
        add("raw", b"png", name="media/image1.png")
    elif check == "html":
        add("text", truth.html_text(source.decode()).encode())
    elif check in ("xlsx", "ods", "parquet"):
        from pyarrow import parquet

        read = {"xlsx": truth.xlsx_rows, "ods": truth.ods_rows}.get(check)
        rows = read(path) if read else [[*row.values()] for row in parquet.read_table(path).to_pylist()]
        lines = [(json.dumps(row, ensure_ascii=False) + "\n").encode() for row in rows]
        content, units_of_rows = pieces(lines, "row", numbered=["row"])
        add("rows", content, "application/jsonl", units_of_rows)
    elif check == "eml":
        plain, attached = truth.mail_parts(path)
        add("text", plain.encode())
        for name, content in attached.items():
            add("raw", content, name=name)
    elif check in ("csv", "jsonl"):
        if path.name == "notes.csv":  # with a line break inside quotes
            ends = [source.index(mark) + len(mark) for mark in (b"note\r\n", b"left\"\r\n", b"lines\"\r\n")] + [len(source)]
            parts = [source[start:end] for start, end in zip([0, *ends], ends)]
        else:
            parts = source.splitlines(keepends=True)
        units = pieces(parts, "row" if check == "csv" else "record")[1]
    elif check == "warc":
        for number, body in enumerate(truth.warc_bodies(path)):
            add("raw", body, name=f"page{number}")
        if path.suffix == ".warc":
            middle = source.index(b"WARC/1.0", 10)
            units = [("record", None, 0, middle), ("record", None, middle, len(source))]

    out.view("raw", source, whole, units)
    if check == "elf":
        _functions_inside(out, *out.functions)
    for label, content, media_type, inner, name in then:
        out.view(label, content, media_type, inner, name)
    return out


def _functions_inside(out, text, functions):
    """Functions as children of `.text`, the gaps between them filled."""
    parent = next(branch for branch in out.branches if branch["name"] == ".text")
    starts = sorted(start for start in functions if text[2] <= start < text[3])
    bounds = [text[2], *starts, text[3]] if starts and starts[0] > text[2] else [*starts, text[3]]
    for ordinal, (start, end) in enumerate(zip(bounds, bounds[1:]) if starts else ()):
        out._branch(parent["id"], ordinal, "function", functions.get(start), start, end)


FIXTURES = None


class Comparisons(unittest.TestCase):
    """Every fixture at once, for the readers of the truth are slow."""

    def failures(self, spoil=lambda name, out: None, only=None):
        """Names of the failing rows as {file: [what]} of hand-made outputs that `spoil` may change first."""
        import check
        import checks

        files = json.loads((FIXTURES / "expected.json").read_text())["files"]
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            for name, facts in files.items():
                if only is None or name in only:
                    out = pretend(FIXTURES / "files" / name, facts)
                    spoil(name, out)
                    out.save(folder, name)
            outputs, _ = check.read_outputs(folder)
            failed = {}
            for name, output in outputs.items():
                for row in check.rows_of(checks.Case(FIXTURES / "files" / name, files[name], output)):
                    if not row.ok:
                        failed.setdefault(name, []).append(row)
            return failed

    def test_right_outputs_pass(self):
        failed = self.failures()
        self.assertEqual(failed, {}, "\n".join(f"{name}: {row}" for name, rows in failed.items() for row in rows))

    def spoiled(self, name, spoil):
        """The failing rows of one fixture's spoiled output; there must be some."""
        failed = self.failures(lambda _, out: spoil(out), only={name})
        self.assertIn(name, failed)
        return {row.what for row in failed[name]}

    def test_a_gap_between_units_is_seen(self):
        def spoil(out):
            out.branches[2]["byte_start"] += 1

        self.assertIn("tiling, tensors, raw bytes", self.spoiled("program.exe", spoil))

    def test_units_that_end_early_are_seen(self):
        self.assertIn("tiling, tensors, raw bytes", self.spoiled("notes.csv", lambda out: out.branches.pop()))

    def test_a_changed_byte_of_the_raw_view_is_seen(self):
        def spoil(out):
            out.content = b"X" + out.content[1:]

        self.assertIn("tiling, tensors, raw bytes", self.spoiled("utf8.txt", spoil))

    def test_a_changed_pixel_is_seen(self):
        def spoil(out):
            out.content = out.content[:-1] + bytes([out.content[-1] ^ 1])

        for name in ("rgb8.png", "gray16.png", "animated.gif", "lossless.jxl", "pages.tiff"):
            self.assertIn("pixels, mean difference", self.spoiled(name, spoil))

    def test_a_picture_that_is_not_turned_is_seen(self):
        def spoil(out):
            for branch in out.branches:
                for one, other in (("x0", "y0"), ("x1", "y1")):
                    branch[one], branch[other] = branch[other], branch[one]

        self.assertTrue(self.spoiled("oriented.jpg", spoil))

    def test_lost_samples_are_seen(self):
        def spoil(out):
            out.content = out.content[:-8]
            out.branches[-1]["byte_end"] -= 8

        for name in ("s16.wav", "lame.mp3", "s16.flac"):
            self.assertIn("samples", self.spoiled(name, spoil))

    def test_a_late_sound_is_seen(self):
        def spoil(out):  # 20 samples of silence at the start, as many less at the end
            start = out.branches[1]["tensor_byte"]
            out.content = out.content[:start] + bytes(160) + out.content[start:-160]

        self.assertIn("mean difference", self.spoiled("lame.mp3", spoil))

    def test_a_lost_frame_is_seen(self):
        def spoil(out):
            frames = next(branch for branch in out.branches if branch["label"] == "frames")
            last = [branch for branch in out.branches if branch["parent"] == frames["id"]][-1]
            last["label"], last["frame"] = "rest", None

        self.assertIn("frames", self.spoiled("h264.mp4", spoil))

    def test_a_missing_section_or_member_is_seen(self):
        def spoil(out):
            for branch in out.branches:
                if branch["name"] in (".text", "stored.txt", "twice.o", "__cstring"):
                    branch["name"] = None

        self.assertIn("sections as readelf -S", self.spoiled("program.elf", spoil))
        self.assertIn("sections as objdump -h", self.spoiled("program.exe", spoil))
        self.assertIn("sections as LIEF", self.spoiled("fat.macho", spoil))
        self.assertIn("members as ar t", self.spoiled("library.a", spoil))
        self.assertIn("members in the raw view", self.spoiled("many.zip", spoil))

    def test_lost_words_and_cells_are_seen(self):
        def spoil(out):
            start = out.branches[1]["tensor_byte"]
            out.content = out.content[:start] + out.content[start:].replace(b"keeper", b"").replace(b"Porto", b"Parto").replace(b"lamp", b"")

        for name in ("log.docx", "page.html", "tables.xlsx", "cities.parquet", "letter.eml", "book.epub"):
            self.assertTrue(self.spoiled(name, spoil) - {"problems"})

    def test_a_problem_is_not_passed_over(self):
        self.assertEqual(self.spoiled("rgb8.png", lambda out: out.problems.append("a chunk is damaged")), {"problems"})

    def test_an_output_that_cannot_be_read_fails_alone(self):
        def spoil(out):
            out.branches[-len([b for b in out.branches if b["parent"]]) - 1]["media_type"] = "image/x-raw"

        self.assertEqual(self.spoiled("rgb8.bmp", spoil), {"image"})

    def test_words(self):
        import compare

        self.assertEqual(compare.words("The ﬁrst—Word, 3.5!"), ["the", "first", "word", "3", "5"])
        self.assertEqual(compare.overlap("", ""), (1.0, 1.0))
        self.assertEqual(compare.overlap("a b", "a c"), (0.5, 0.5))
        self.assertEqual(compare.f1("a", ""), 0.0)

    def test_pixel_formats(self):
        import outputs

        names = ("rgb8", "rgba16le", "l8", "gray16be", "rgbf32", "rgb32f", "la8", "rgb24", "rgb-8", "luma8")
        self.assertEqual([outputs.n_channels(name) for name in names], [3, 4, 1, 1, 3, 3, 2, 3, 3, 1])

    def test_nothing_is_unpacked_outside(self):
        import tarfile

        import corpus

        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            with tarfile.open(folder / "a.tar", "w") as archive:
                for name in ("inside.txt", "../outside.txt", "/tmp-outside.txt", "a/../../outside.txt"):
                    info = tarfile.TarInfo(name)
                    info.size = 1
                    archive.addfile(info, io.BytesIO(b"x"))
                link = tarfile.TarInfo("link")
                link.type, link.linkname = tarfile.SYMTYPE, ".."
                archive.addfile(link)
            self.assertEqual(corpus.unpack(folder / "a.tar", folder / "target"), 3)
            found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
            self.assertEqual(found, {"a.tar", "target/inside.txt"})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("fixtures", type=pathlib.Path, help="the folder that fixtures.py wrote")
    parser.add_argument("--save", type=pathlib.Path, help="write the right outputs to this folder instead, for a look at the table")
    arguments = parser.parse_args()
    environment.enter()
    global FIXTURES
    FIXTURES = arguments.fixtures
    if arguments.save:
        arguments.save.mkdir(parents=True, exist_ok=True)
        for name, facts in json.loads((FIXTURES / "expected.json").read_text())["files"].items():
            with contextlib.suppress(FileNotFoundError):
                pretend(FIXTURES / "files" / name, facts).save(arguments.save, name)
        return 0
    return 0 if unittest.main(argv=[sys.argv[0]], exit=False).result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main())
