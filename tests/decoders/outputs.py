"""What `blt-cli ingest` wrote for one source: its sidecar (SQLite) and its tensors (safetensors), read without our code."""

import json
import re
import sqlite3
from collections import defaultdict

import numpy

DTYPES = {"U8": numpy.uint8, "I8": numpy.int8, "I32": "<i4", "I64": "<i8", "F16": "<f2", "F32": "<f4"}


def tensors(path):
    """The arrays of a safetensors file by name; those of unknown number types are left out."""
    raw = path.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + length])
    found = {}
    for name, entry in header.items():
        if name != "__metadata__" and entry["dtype"] in DTYPES:
            start, end = entry["data_offsets"]
            part = raw[8 + length + start : 8 + length + end]
            found[name] = numpy.frombuffer(part, DTYPES[entry["dtype"]]).reshape(entry["shape"])
    return found


def parse_media_type(text):
    """`audio/x-raw; rate=44100` as (`audio/x-raw`, {`rate`: `44100`})."""
    kind, *parameters = (text or "").split(";")
    pairs = (parameter.partition("=") for parameter in parameters)
    return kind.strip(), {key.strip().lower(): value.strip().strip('"') for key, _, value in pairs}


def is_embedded(view):
    """Whether a view is of a file inside the source; the tracks of a film and some pages have names, too."""
    return view["name"] is not None and not view["name"].startswith(("audio ", "subtitle ", "from page "))


class Output:
    """One source's trunk, views and units."""

    def __init__(self, sidecar):
        connection = sqlite3.connect(sidecar)
        connection.row_factory = sqlite3.Row
        self.trunk = dict(connection.execute("SELECT * FROM trunk").fetchone())
        rows = connection.execute("SELECT * FROM branch ORDER BY parent, ordinal").fetchall()
        self.problems = [row["text"] for row in connection.execute("SELECT text FROM problem ORDER BY ordinal")]
        connection.close()
        self.children = defaultdict(list)
        for row in rows:
            self.children[row["parent"]].append(dict(row))
        self.views = self.children[None]
        stem = sidecar.name.removesuffix(".hypergraph.db")
        self.tensors = tensors(sidecar.with_name(f"{stem}.safetensors"))

    def bytes_of(self, view):
        return self.tensors["bytes"][view["tensor_byte"] : view["tensor_byte"] + view["byte_end"]].tobytes()

    def named(self, *labels, embedded=None):
        """Views with one of these labels: of the source itself, of files inside it (`embedded`), or of both (None)."""
        found = [view for view in self.views if view["label"] in labels]
        return [view for view in found if embedded is None or embedded == is_embedded(view)]

    def view(self, *labels):
        """The source's own view with one of these labels, None if there is none."""
        return next(iter(self.named(*labels, embedded=False)), None)

    def units(self, view, *labels):
        """Everything below `view` in the order of its bytes, parents first; of these labels only, if any are given.

        A unit that names no frame is in that of its parent."""
        found, waiting = [], list(reversed(self.children[view["id"]]))
        while waiting:
            unit = waiting.pop()
            if not labels or unit["label"] in labels:
                found.append(unit)
            inner = [child | {"frame": child["frame"] if child["frame"] is not None else unit["frame"]} for child in self.children[unit["id"]]]
            waiting.extend(reversed(inner))
        return found

    def embedded(self, name):
        """Bytes of the file inside the source that is called `name`, from its raw view; None if there is none.

        A path that goes through a layer of its own, like the `.tar` in a `.tar.gz`, counts as well."""
        for view in self.named("raw", embedded=True):
            if view["name"] == name or view["name"].endswith(f"!/{name}"):
                return self.bytes_of(view)
        return None

    def faults(self, source, sha256):
        """What is wrong with the structure, whatever the format is: tiling, tensors, raw bytes."""
        yield from self._tiling_faults()
        yield from self._tensor_faults()
        if bytes(self.trunk["sha256"]) != sha256 or self.trunk["n_bytes"] != len(source):
            yield "the trunk's hash or size is not the file's"
        raw = self.view("raw")
        if raw is None:
            yield "there is no raw view"
        elif self.bytes_of(raw) != source:
            yield "the raw view's bytes are not the file's"

    def _tiling_faults(self):
        by_id = {branch["id"]: branch for siblings in self.children.values() for branch in siblings}
        for parent_id, siblings in self.children.items():
            if parent_id is None or not siblings:
                continue
            parent = by_id.get(parent_id)
            if parent is None:
                yield f"units have a parent {parent_id} that does not exist"
                continue
            end = parent["byte_start"]
            for place, unit in enumerate(siblings):
                if unit["ordinal"] != place:
                    yield f"unit {unit['id']} has ordinal {unit['ordinal']}, not {place}"
                if unit["byte_start"] != end or unit["byte_end"] < unit["byte_start"]:
                    yield f"`{unit['label']}` at {unit['byte_start']} does not begin at {end} in `{parent['label']}`"
                end = unit["byte_end"]
            if end != parent["byte_end"]:
                yield f"the units of `{parent['label']}` end at {end}, not at {parent['byte_end']}"

    def _tensor_faults(self):
        entropies, lengths = self.tensors.get("entropies"), self.tensors.get("patch_lengths")
        n_bytes = len(self.tensors.get("bytes", ()))
        if entropies is None or lengths is None or "bytes" not in self.tensors:
            yield "a tensor is missing"
            return
        if len(entropies) != n_bytes or not numpy.isfinite(entropies).all():
            yield "the entropies are not one finite number a byte"
        if int(lengths.sum()) != n_bytes or (lengths <= 0).any():
            yield f"the patches have {int(lengths.sum())} bytes, not {n_bytes}"
        starts = {0, *numpy.cumsum(lengths).tolist()}
        end = 0
        for view in sorted(self.views, key=lambda view: (view["tensor_byte"], view["byte_end"])):
            if view["byte_start"] != 0 or view["tensor_byte"] != end:
                yield f"view `{view['label']}` does not follow the one before it in `bytes`"
            if view["tensor_byte"] not in starts:
                yield f"a patch crosses into view `{view['label']}`"
            end = view["tensor_byte"] + view["byte_end"]
        if end != n_bytes:
            yield f"the views have {end} bytes, the tensor {n_bytes}"


CHANNELS = {"rgba": 4, "rgb": 3, "graya": 2, "greya": 2, "lumaa": 2, "la": 2, "ya": 2, "gray": 1, "grey": 1, "luma": 1, "l": 1, "y": 1}


def n_channels(pixel_format):
    """`rgba16le` has 4."""
    letters = re.match(r"[a-z]*", pixel_format.lower())[0]
    name = next((name for name in CHANNELS if letters.startswith(name)), None)
    if name is None:
        raise ValueError(f"the pixel format `{pixel_format}` is not known here")
    return CHANNELS[name]


def pictures(output, view):
    """The frames of a view of pixels, `[height, width, channels]` each, put together from its tiles.

    A tile holds the rows of its rectangle; a frame without tiles holds its own. The number type follows from the number
    of bytes a channel."""
    kind, parameters = parse_media_type(view["media_type"])
    content = output.bytes_of(view)
    channels = n_channels(parameters["format"])
    tiles = output.units(view, "tile") or output.units(view, "frame", "page", "image") or [dict(view)]
    whole = {"x0": 0, "y0": 0, "x1": int(parameters["width"]), "y1": int(parameters["height"])}
    boxes = []
    for tile in tiles:
        box = {edge: int(whole[edge] if tile[edge] is None else tile[edge]) for edge in whole}
        boxes.append((tile["frame"] or 0, box, content[tile["byte_start"] : tile["byte_end"]]))
    n_pixels = sum((box["x1"] - box["x0"]) * (box["y1"] - box["y0"]) for _, box, _ in boxes)
    n_bytes = sum(len(part) for _, _, part in boxes)
    if n_pixels == 0 or n_bytes % (n_pixels * channels):
        raise ValueError(f"{n_bytes} bytes are not {n_pixels} pixels of {channels} channels ({kind})")
    order = ">" if parameters["format"].lower().endswith("be") else "<"
    dtype = {1: "u1", 2: f"{order}u2", 4: f"{order}f4"}[n_bytes // (n_pixels * channels)]
    frames = {}
    for number in sorted({number for number, _, _ in boxes}):
        mine = [(box, part) for frame, box, part in boxes if frame == number]
        width, height = max(box["x1"] for box, _ in mine), max(box["y1"] for box, _ in mine)
        canvas = numpy.zeros((height, width, channels), dtype)
        times = numpy.zeros((height, width), int)
        for box, part in mine:
            rows = slice(box["y0"], box["y1"]), slice(box["x0"], box["x1"])
            shape = (box["y1"] - box["y0"], box["x1"] - box["x0"], channels)
            canvas[rows] = numpy.frombuffer(part, dtype).reshape(shape)
            times[rows] += 1
        if (times != 1).any():
            raise ValueError(f"the tiles of frame {number} do not cover it once")
        frames[number] = canvas
    return list(frames.values())


SAMPLES = {"u8": ("u1", 128), "s16": ("<i2", 0), "s24": (None, 0), "s32": ("<i4", 0), "f32": ("<f4", 0), "f64": ("<f8", 0)}


def sound(output, view):
    """The samples of a pcm view as `[samples, channels]` from -1 to 1, and its rate."""
    _, parameters = parse_media_type(view["media_type"])
    name = parameters["format"].lower().removesuffix("le")
    content, channels = output.bytes_of(view), int(parameters["channels"])
    dtype, zero = SAMPLES[name]
    if dtype is None:  # three bytes a sample become the upper three of four
        parts = numpy.frombuffer(content, "u1").reshape(-1, 3)
        values = numpy.concatenate([numpy.zeros((len(parts), 1), "u1"), parts], axis=1).view("<i4").reshape(-1)
    else:
        values = numpy.frombuffer(content, dtype)
    full = {"u8": 128, "s16": 1 << 15, "s24": 1 << 31, "s32": 1 << 31}.get(name, 1)
    if len(values) % channels:
        raise ValueError(f"{len(values)} values are not whole samples of {channels} channels")
    return ((values.astype(numpy.float64) - zero) / full).reshape(-1, channels), int(parameters["rate"])
