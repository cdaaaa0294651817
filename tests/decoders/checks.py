"""One comparison a kind of content: what was made of a fixture, against `truth.py` and the facts of `expected.json`."""

import csv
import io
import json
import pathlib
import zipfile
from dataclasses import dataclass
from xml.etree import ElementTree

import numpy
from pyarrow import parquet as arrow

import compare
import expectations
import outputs
import truth


@dataclass
class Row:
    what: str
    expected: object
    found: object
    ok: bool


@dataclass
class Case:
    """A fixture, what must hold of it, and what was made of it."""

    path: pathlib.Path
    facts: dict
    output: outputs.Output

    @property
    def kind(self):
        return self.path.suffix[1:]

    def text(self):
        """All words of the views of text; of all views when there are none."""
        views = self.output.named("text", "decoded", "rows") or self.output.views
        return "\n".join(self.output.bytes_of(view).decode(errors="replace") for view in views)

    def ranges(self):
        """{(name, start, end)} of the units of the raw view."""
        units = self.output.units(self.output.view("raw"))
        return {(unit["name"], unit["byte_start"], unit["byte_end"]) for unit in units}


def equal(what, expected, found):
    return Row(what, expected, found, expected == found)


def share(what, missing, total, least=1.0):
    """A row that says how many of `total` things were found, and names some that were not."""
    examples = f", not {', '.join(map(str, missing[:3]))}" if missing else ""
    found = total - len(missing)
    return Row(what, f"{total} (at least {least:.0%})", f"{found}{examples}", total == 0 or found / total >= least)


# One function a kind of content. Each yields rows; what is true of every file is compared by `structure`.


def raw(case):
    return iter(())


def text(case):
    expected = case.path.read_bytes().decode(case.facts["charset"])
    if case.facts["charset"] == "utf-8":
        return
    view = case.output.view("decoded", "text")
    found = case.output.bytes_of(view).decode().removeprefix("\ufeff") if view else None
    yield Row("decoded text", f"{len(expected)} characters", "no view" if found is None else f"{len(found)}", found == expected)


def code(case):
    view = case.output.view("raw")
    units = case.output.units(view)
    labels = sorted({unit["label"] for unit in units})
    if case.path.suffix in expectations.NO_GRAMMAR and labels == ["lines"]:
        yield Row("units", "lines", "lines", True)
        return
    yield Row("units with names", ">= 1", f"{sum(unit['name'] is not None for unit in units)} of {len(units)}: {labels[:6]}",
              any(unit["name"] for unit in units) or case.kind in ("css", "sh"))
    yield Row("kinds of units", ">= 2", len(labels), len(labels) >= 2)


def image(case):
    view = case.output.view("pixels")
    if view is None:
        yield Row("pixels", "a view", "none", False)
        return
    found, expected = outputs.pictures(case.output, view), truth.pictures(case.path)
    yield equal("frames", case.facts["frames"], len(found))
    size = [case.facts["width"], case.facts["height"]]
    yield equal("width, height", size, [found[0].shape[1], found[0].shape[0]])
    if len(found) != len(expected):
        return
    if expected[0].dtype == numpy.float32:
        if found[0].dtype.kind != "f":
            yield Row("light", "floats", f"{found[0].dtype}: not comparable", False)
            return
        error = max(numpy.abs(ours[..., :3] - theirs).max() / theirs.max() for ours, theirs in zip(found, expected))
        yield Row("light, largest difference", f"<= {expectations.LIGHT}", f"{error:.4f}", error <= expectations.LIGHT)
        return
    bits = 8 * expected[0].dtype.itemsize
    yield Row("bits a channel", bits, 8 * found[0].dtype.itemsize, found[0].dtype.itemsize * 8 >= bits)
    error = max(compare.difference(ours, theirs) for ours, theirs in zip(found, expected))
    limit = 1e-9 if case.facts["exact"] else expectations.LOSSY_PIXELS
    if case.path.name == "animated.webp":
        limit = expectations.COMPOSED_PIXELS
    yield Row("pixels, mean difference", "0" if case.facts["exact"] else f"< {limit}", f"{error:.4f}", error < limit)


def audio(case):
    yield from _sound(case, case.facts["samples"], case.facts["bits"])


def _sound(case, n_expected, bits):
    view = case.output.view("pcm")
    if view is None:
        yield Row("pcm", "a view", "none", False)
        return
    found, rate = outputs.sound(case.output, view)
    expected = truth.samples(case.path, found.shape[1])
    yield equal("channels, rate", [2, case.facts.get("rate", rate)], [found.shape[1], rate])
    slack = 0 if bits else expectations.SAMPLES.get(case.kind, 0)
    n_true = [n_expected, len(expected)] if n_expected else [len(expected)]
    close = any(abs(len(found) - n) <= slack for n in n_true)
    yield Row("samples", f"{' or '.join(map(str, sorted(set(n_true))))} +- {slack}", len(found), close)
    common = min(len(found), len(expected))
    errors = numpy.abs(found[:common] - expected[:common])
    if bits and common:
        yield Row("largest difference", f"<= {expectations.LOSSLESS_SOUND:.1e}", f"{errors.max():.1e}", errors.max() <= expectations.LOSSLESS_SOUND)
    elif common:
        yield Row("mean difference", f"<= {expectations.LOSSY_SOUND}", f"{errors.mean():.4f}", errors.mean() <= expectations.LOSSY_SOUND)


def video(case):
    view = case.output.view("frames")
    if view is None:
        yield Row("frames", "a view", "none", False)
        return
    yield equal("frames", truth.n_frames(case.path), len({unit["frame"] for unit in case.output.units(view, "frame")}))
    times = [unit["time_start"] for unit in case.output.units(view, "frame")]
    ordered = None not in times and times == sorted(times)
    yield Row("times of frames", "rising", "rising" if ordered else times[:4], ordered)
    found = outputs.pictures(case.output, view)
    expected = truth.film(case.path, case.facts["width"], case.facts["height"])
    if len(found) == len(expected):
        error = max(compare.difference(ours, theirs) for ours, theirs in zip(found, expected))
        yield Row("pixels, mean difference", f"< {expectations.FILM_PIXELS}", f"{error:.2f}", error < expectations.FILM_PIXELS)
    if case.facts["sound"]:
        yield from _sound(case, None, 0)
    else:
        yield equal("sound", None, case.output.view("pcm"))
    if "subtitles" in case.facts:
        recall, _ = compare.overlap(case.text(), case.facts["subtitles"])
        yield Row("subtitles, recall of words", "1", f"{recall:.2f}", recall == 1)


def pdf(case):
    view = case.output.view("text")
    pages = {unit["page"] for view in case.output.named("text", embedded=False) for unit in case.output.units(view, "page")}
    if case.facts.get("needs_ocr"):
        said = [problem for problem in case.output.problems if "ocr" in problem.lower() or "no text" in problem.lower()]
        yield Row("says that it has no text", "a problem", said[:1] or case.output.problems[:2], bool(said))
        return
    if view is None:
        yield Row("text", "a view", f"none; {case.output.problems[:2]}", False)
        return
    yield equal("pages", case.facts["pages"], len(pages))
    own = "\n".join(case.output.bytes_of(view).decode() for view in case.output.named("text", embedded=False))
    score = compare.f1(own, truth.pdf_text(case.path, case.facts.get("password", "")))
    yield Row("words, F1 against pdftotext", f">= {expectations.PDF_F1}", f"{score:.3f}", score >= expectations.PDF_F1)


def elf(case):
    ranges = case.ranges()
    sections = truth.elf_sections(case.path)
    missing = [name for name, start, size in sections if (name, start, start + size) not in ranges]
    yield share("sections as readelf -S", missing, len(sections))
    functions = truth.elf_functions(case.path)
    starts = {(name, start) for name, start, _ in ranges}
    absent = [sorted(names)[0] for start, names in functions.items() if not any((name, start) in starts for name in names)]
    yield share("functions as readelf -s", absent, len(functions), expectations.FUNCTIONS)
    yield from _overlay(case)


def _overlay(case):
    """The bytes after the program's end. In a PE file its symbol table, which no section holds, may count as such too."""
    if "overlay" in case.facts:
        raw_view = case.output.view("raw")
        start, end = raw_view["byte_end"] - case.facts["overlay"], raw_view["byte_end"]
        last = [unit for unit in case.output.units(raw_view) if unit["byte_end"] == end]
        exact = any(unit["byte_start"] == start for unit in last)
        wide = case.kind == "exe" and any(unit["label"] == "overlay" and unit["byte_start"] <= start for unit in last)
        yield Row("overlay", f"a unit from {start}", [(unit["label"], unit["byte_start"]) for unit in last], exact or wide)


def pe(case):
    ranges, sections = case.ranges(), truth.pe_sections(case.path)

    def is_there(name, start, size):
        padded = size + -size % expectations.FILE_ALIGNMENT
        return any((name, start, start + length) in ranges for length in (size, padded))

    yield share("sections as objdump -h", [name for name, *place in sections if not is_there(name, *place)], len(sections))
    yield from _overlay(case)


def macho(case):
    places = [(name or "", start, end) for name, start, end in case.ranges()]
    is_there = lambda name, start, size: any(n.endswith(name) and (s, e) == (start, start + size) for n, s, e in places)
    sections = truth.macho_sections(case.path)
    missing = [name for name, *place in sections if not is_there(name, *place)]
    yield share("sections as LIEF", missing, len(sections))


def wasm(case):
    ends = {(start, end) for _, start, end in case.ranges()}
    sections = case.facts["sections"]
    # With or without the section's own id and length, of one byte each.
    missing = [kind for kind, start, size in sections if not {(start, start + size), (start - 2, start + size)} & ends]
    yield share("sections", missing, len(sections))


def ar(case):
    ranges, members = case.ranges(), truth.ar_members(case.path)
    named = lambda name, start, size: any(n == name and s in (start, start - 60) and e - start - size in (0, 1) for n, s, e in ranges)
    yield share("members as ar t", [name for name, *place in members if not named(name, *place)], len(members))


def zip_archive(case):
    ranges, members = case.ranges(), truth.zip_members(case.path)

    def is_there(name, header, start, end):
        # The data alone, or from its header to its descriptor, which has at most 24 bytes.
        return any(n == name and s in (header, start) and 0 <= e - end <= 24 for n, s, e in ranges)

    yield share("members in the raw view", [name for name, *place in members if not is_there(name, *place)], len(members))
    contents = {name: truth.zip_content(case.path, name) for name, *_ in members}
    yield _embedded(case, "members as unzip -p", contents)
    inner = {f"{name}!/{path}": content for name in contents if name.endswith(".zip") for path, content in _unzipped(contents[name])}
    yield _embedded(case, "members of members", inner)


def _unzipped(content):
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return [(name, archive.read(name)) for name in archive.namelist()]


def _embedded(case, what, contents):
    # A view of no bytes need not be made.
    wrong = [name for name, content in contents.items() if content and case.output.embedded(name) != content]
    return share(what, wrong, len(contents))


def tar(case):
    members = truth.tar_members(case.path)
    yield _embedded(case, "members as tarfile", members)
    if case.kind == "tar":
        content = case.path.read_bytes()
        whole = {(name, content[start:end]) for name, start, end in case.ranges()}
        named = [name for name, expected in members.items() if not any(n == name and expected in part for n, part in whole)]
        yield share("members in the raw view", named, len(members))


def seven_zip(case):
    yield _embedded(case, "members as 7z x", truth.seven_zip_members(case.path))


def compressed(case):
    expected = truth.unpacked(case.path)
    inside = [view["name"] for view in case.output.named("raw", embedded=True) if case.output.bytes_of(view) == expected]
    yield Row("content", case.path.stem, inside, bool(inside))


def _words(case, expected, name=None):
    recall, precision = compare.overlap(case.text(), expected)
    least = expectations.WORDS[name or case.facts["check"]]
    yield Row("words, recall and precision", f">= {least[0]}, {least[1]}", f"{recall:.3f}, {precision:.3f}", recall >= least[0] and precision >= least[1])


def _pictures_inside(case):
    names = [view["name"] for view in case.output.views if view["name"] and view["name"].endswith(".png")]
    yield Row("picture inside", "a .png", names[:2], bool(names))


def docx(case):
    yield from _words(case, truth.docx_text(case.path))
    yield from _pictures_inside(case)


def rtf(case):
    yield from _words(case, truth.rtf_text(case.path))
    yield from _pictures_inside(case)


def pptx(case):
    yield from _words(case, truth.pptx_text(case.path))
    yield from _pictures_inside(case)


def odt(case):
    yield from _words(case, truth.odt_text(case.path))


def epub(case):
    yield from _words(case, truth.epub_text(case.path))


def html(case):
    yield from _words(case, truth.html_text(case.path.read_text()))


def xml(case):
    yield from _words(case, " ".join(ElementTree.parse(case.path).getroot().itertext()))


def eml(case):
    plain, attached = truth.mail_parts(case.path)
    yield from _words(case, plain)
    yield _embedded(case, "attachments", attached)


def _rows(case):
    """(view, unit) of all rows, from the first of the source's own views that has some."""
    for view in case.output.named("rows", "text", "decoded", "raw", embedded=False):
        rows = case.output.units(view, "row", "record")
        if rows:
            return [case.output.bytes_of(view)[unit["byte_start"] : unit["byte_end"]].decode() for unit in rows]
    return []


def _cells(case, expected, what):
    """Every cell's text is in the bytes of its row. A header row may come before."""
    found = _rows(case)
    yield Row(f"rows as {what}", len(expected), len(found), len(found) - len(expected) in (0, 1))
    if len(found) in (len(expected), len(expected) + 1):
        missing = [cell for row, cells in zip(found[len(found) - len(expected) :], expected) for cell in cells if not _holds(row, cell)]
        yield share("cells", missing, sum(len(cells) for cells in expected))


def _holds(row, cell):
    """Whether a row's bytes say a cell. Lines and quotes may be escaped there; a whole number may have a decimal point."""
    if isinstance(cell, str):
        forms = {cell, json.dumps(cell, ensure_ascii=False)[1:-1], cell.replace('"', '""'), cell.replace("\n", " ")}
    else:
        forms = {str(cell), f"{cell:g}"}
    return any(form in row for form in forms)


def xlsx(case):
    yield from _cells(case, truth.xlsx_rows(case.path), "openpyxl")


def ods(case):
    rows = [[cell.removesuffix(".0") for cell in row] for row in truth.ods_rows(case.path)]
    yield from _cells(case, rows, "odfpy")


def parquet(case):
    rows = [[value for value in row.values() if value is not None] for row in arrow.read_table(case.path).to_pylist()]
    yield from _cells(case, rows, "pyarrow")


def csv_rows(case):
    delimiter = case.facts["delimiter"]
    expected = list(csv.reader(io.StringIO(case.path.read_bytes().decode(), newline=""), delimiter=delimiter))
    view = case.output.view("raw")
    content = case.output.bytes_of(view)
    found = []
    for unit in case.output.units(view, "row", "record", "header"):
        part = content[unit["byte_start"] : unit["byte_end"]].decode()
        found += csv.reader(io.StringIO(part, newline=""), delimiter=delimiter)
    yield Row("rows as the csv module", len(expected), len(found), found == expected)


def jsonl(case):
    expected = [json.loads(line) for line in case.path.read_text().splitlines()]
    view = case.output.view("raw")
    content = case.output.bytes_of(view)
    for label in ("record", "row", "line", "value", "document"):
        parts = [content[unit["byte_start"] : unit["byte_end"]] for unit in case.output.units(view, label)]
        if parts:
            break
    found = [json.loads(part) for part in parts if part.strip()]
    yield Row("records", len(expected), len(found), found == expected)


def json_words(case):
    yield from _words(case, " ".join(str(record["text"]) for record in json.loads(case.path.read_text()) if record["text"]))


def warc(case):
    bodies = truth.warc_bodies(case.path)
    views = [case.output.bytes_of(view) for view in case.output.views if view["name"] or view["label"] != "raw"]
    if case.kind == "warc":
        units = case.output.units(case.output.view("raw"), "record")
        yield equal("records", len(bodies), len(units))
    yield share("bodies as warcio", [body[:20] for body in bodies if not any(body in view for view in views)], len(bodies))


CHECKS = {
    "raw": raw, "empty": raw, "markup": raw, "text": text, "code": code, "image": image, "audio": audio, "video": video,
    "pdf": pdf, "elf": elf, "pe": pe, "macho": macho, "wasm": wasm, "ar": ar, "zip": zip_archive, "tar": tar, "7z": seven_zip,
    "compressed": compressed, "docx": docx, "pptx": pptx, "odt": odt, "epub": epub, "html": html, "rtf": rtf, "xml": xml, "eml": eml,
    "xlsx": xlsx, "ods": ods, "parquet": parquet, "csv": csv_rows, "jsonl": jsonl, "json": json_words, "warc": warc,
}  # fmt: skip
