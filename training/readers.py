"""Turns the files of a package into documents: plain text without navigation, markup or other boilerplate.

A reader takes the path and the bytes of one file and returns the documents in it, as text. Malformed files give none.
"""
import gzip
import html
import json
import re
import struct
import zlib

DROPPED = re.compile(r"(?is)<(script|style|head|nav|footer|svg|form)\b.*?</\1\s*>|<!--.*?-->")
NAVIGATION = re.compile(r'(?is)<div[^>]*(?:class|role|id)="[^"]*(?:navheader|navfooter|sphinxsidebar|related|toctree|navigation|tocset|navsetbottom|navsettop)[^"]*"[^>]*>.*?</div>')
BLOCK = re.compile(
    r"(?i)</?(p|div|br|li|ul|ol|tr|table|h[1-6]|pre|dt|dd|dl|blockquote|section|article|hr|title|item|page|para|lb?|lg|verse|chapter)\b[^>]*>"
)
TAG = re.compile(r"<[^>]{1,2000}>")
SPACES = re.compile(r"[ \t\xa0]+")
BLANK = re.compile(r"\n\s*\n\s*")


def decode(data):
    """UTF-8, else Latin-1 when it looks like text, else nothing."""
    if b"\0" in data[:4096]:
        return None
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1") if sum(byte > 127 for byte in data[:20000]) < 0.05 * len(data[:20000]) else None


def text(path, data):
    body = decode(data)
    return [] if body is None else [body]


def markup_to_text(source):
    source = NAVIGATION.sub(" ", DROPPED.sub(" ", source))
    parts = []
    for index, part in enumerate(re.split(r"(?is)(<pre\b.*?</pre>)", source)):
        if index % 2:
            parts.append("\n" + html.unescape(TAG.sub("", part)) + "\n")
        else:
            part = html.unescape(TAG.sub("", BLOCK.sub("\n", re.sub(r"\s+", " ", part))))
            parts.append("\n".join(SPACES.sub(" ", line).strip() for line in part.split("\n")))
    return BLANK.sub("\n\n", "".join(parts)).replace("¶", "").strip() + "\n"


def html_text(path, data):
    body = decode(data)
    return [] if body is None else [markup_to_text(body)]


def man(path, data):
    """A manual page; requests of formatting are dropped, headings and words kept."""
    lines = []
    for line in decode(gzip.decompress(data) if path.endswith(".gz") else data).split("\n"):
        if line.startswith(('.\\"', "'\\\"", ".de", ".ds", ".if", ".ie", ".el", ".nr", ".tr", "..")):
            continue
        request = re.match(r"^[.'](\w+)\s*(.*)", line)
        if not request:
            lines.append(line)
            continue
        name, rest = request[1], request[2].replace('"', "")
        if name in ("SH", "SS", "Sh", "Ss"):
            lines.append("\n" + rest)
        elif name in ("PP", "P", "LP", "Pp", "sp", "TP", "IP", "It"):
            lines.append("\n" + rest if rest else "")
        elif name in ("B", "I", "BR", "IR", "RB", "RI", "BI", "IB", "Nm", "Fl", "Ar", "Xr", "Dq", "Em", "Nd", "Pa", "Ic"):
            lines.append(rest)
    page = re.sub(r"\\f[A-Z]|\\f\(..|\\f\[.*?\]|\\[&|/,c]|\\s[-+]?\d", "", "\n".join(lines))
    for escape, plain in (("\\-", "-"), ("\\(aq", "'"), ("\\(lq", "“"), ("\\(rq", "”"), ("\\e", "\\"), ("\\ ", " "), ("\\~", " ")):
        page = page.replace(escape, plain)
    return [BLANK.sub("\n\n", page).strip() + "\n"]


def sword(path, data):
    """A SWORD module's block index (`*.bzs`, `*.czs`); the compressed blocks, books or chapters, lie beside it."""
    with open(path[:-1] + "z", "rb") as file:
        blocks = file.read()
    documents = []
    for offset, size, _ in struct.iter_unpack("<III", data[: len(data) // 12 * 12]):
        body = zlib.decompress(blocks[offset : offset + size]).decode("utf-8", "ignore") if size else ""
        body = markup_to_text(re.sub(r"(?s)<note\b.*?</note>", "", body))
        documents.append(re.sub(r" +([,.;:!?])", r"\1", body))
    return documents


def sword_dictionary(path, data):
    """A SWORD dictionary's block index (`*.zdx`); blocks of entries lie in `*.zdt`."""
    with open(path[:-1] + "t", "rb") as file:
        blocks = file.read()
    documents = []
    for offset, size in struct.iter_unpack("<II", data[: len(data) // 8 * 8]):
        block = zlib.decompress(blocks[offset : offset + size]) if size else b""
        count = struct.unpack_from("<I", block)[0] if block else 0
        entries = [struct.unpack_from("<II", block, 4 + 8 * index) for index in range(count)]
        body = "\n".join(block[start : start + length].rstrip(b"\0").decode("utf-8", "ignore") for start, length in entries)
        documents.append(markup_to_text(body))
    return documents


def dictionary(path, data):
    """A dictd dictionary in documents of about 20 kB."""
    body = gzip.decompress(data).decode("utf-8", "ignore")
    return pieces(re.split(r"\n(?=\S)", body), 20_000)


def pieces(parts, size, joint="\n"):
    documents, part, length = [], [], 0
    for item in parts:
        part.append(item)
        length += len(item)
        if length > size:
            documents.append(joint.join(part) + "\n")
            part, length = [], 0
    return documents + ([joint.join(part) + "\n"] if part else [])


def wordnet(path, data):
    lines = [line for line in data.decode().split("\n") if "|" in line and not line.startswith("  ")]
    return pieces([line.split()[4].replace("_", " ") + ": " + line.split("|", 1)[1].strip() for line in lines], 20_000)


def r_strings(path, data):
    """An R database of lazily loaded objects: its character vectors."""
    documents, at = [], 0
    while (at := data.find(b"\x78\x9c", at)) >= 0:
        stream = zlib.decompressobj()
        try:
            plain = stream.decompress(data[at:])
        except zlib.error:
            at += 1
            continue
        at = len(data) - len(stream.unused_data)
        lines, cursor = [], 0
        while (cursor := plain.find(b"\x00\x04\x00\x09", cursor)) >= 0:
            length = struct.unpack_from(">i", plain, cursor + 4)[0]
            if 0 <= length < 100_000:
                lines.append(plain[cursor + 8 : cursor + 8 + length])
                cursor += 8 + length
            else:
                cursor += 4
        if len(lines) > 200:
            documents.append(b"\n".join(lines).decode("utf-8", "replace") + "\n")
    return documents


def gutenberg(path, data):
    """A text of Project Gutenberg without the project's own words before and after it."""
    body = decode(data)
    for start in (r"\*\*\* ?START OF[^\n]*\n", r"\*END\*?THE SMALL PRINT[^\n]*\n", r"\*END[^\n]*SMALL PRINT[^\n]*\n"):
        found = list(re.finditer(start, body))
        if found:
            body = body[found[-1].end() :]
            break
    end = re.search(r"(?i)\n[^\n]*(\*\*\* ?END OF|End of (the |this )?(Project )?(Gutenberg|Etext))[^\n]*", body)
    return [(body[: end.start()] if end else body).strip() + "\n"]


def strings_in(value, wanted):
    """Strings of a JSON value whose key is in `wanted` (all strings if that is nothing), in order."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if isinstance(inner, str):
                if wanted is None or key in wanted:
                    yield inner
            else:
                yield from strings_in(inner, wanted)
    elif isinstance(value, list):
        for inner in value:
            if isinstance(inner, str):
                if wanted is None:
                    yield inner
            else:
                yield from strings_in(inner, wanted)


def json_of(data):
    try:
        return json.loads(data)
    except ValueError:
        return None


def described(path, data):
    """Descriptions in a JSON file of an interface, each sentence once a file."""
    found = strings_in(json_of(gzip.decompress(data) if path.endswith(".gz") else data), {"documentation", "description", "text"})
    once = dict.fromkeys(markup_to_text(item).strip() for item in found if len(item) > 60)
    return ["\n\n".join(once) + "\n"]


def factbook(path, data):
    """A country of the World Factbook, `heading: text` a line."""
    def lines(key, value):
        if isinstance(value, dict):
            if isinstance(value.get("text"), str):
                yield key + ": " + markup_to_text(value["text"]).strip()
            for inner, item in value.items():
                if inner != "text":
                    yield from lines(inner, item)

    return ["\n".join(lines("", json_of(data) or {})) + "\n"]


def json_strings(path, data):
    return pieces([item for item in strings_in(json_of(data), None) if item.strip()], 20_000)


def script_strings(path, data):
    """Messages in a JavaScript module: its string literals, a line each."""
    found = re.findall(r'"((?:[^"\\\n]|\\.)*)"', decode(data) or "")
    lines = [item for item in (json_of('"' + literal + '"') for literal in found) if isinstance(item, str) and " " in item.strip() or (item and not item.isascii())]
    return pieces(lines, 20_000)


def gettext(path, data):
    """Translations of a gettext catalogue (`.po` or `.mo`), a line each."""
    if data[:4] == b"\xde\x12\x04\x95":
        count, _, at = struct.unpack_from("<III", data, 8)
        spans = [struct.unpack_from("<II", data, at + 8 * index) for index in range(count)]
        lines = [data[start : start + length].replace(b"\0", b"\n").decode("utf-8", "ignore") for length, start in spans[1:]]
    else:
        blocks = re.findall(r'(?m)^msgstr(?:\[\d\])? ((?:"(?:[^"\\]|\\.)*"\s*)+)', decode(data) or "")
        lines = ["".join(json_of('"' + part + '"') or "" for part in re.findall(r'"((?:[^"\\]|\\.)*)"', block)) for block in blocks][1:]
    return pieces([line.strip() for line in lines if line.strip()], 20_000)


def poems(path, data):
    found = json_of(data)
    if not isinstance(found, list):
        return []
    shown = (
        "\n".join([str(poem.get("title", "")), str(poem.get("author", ""))] + [str(line) for line in poem.get("paragraphs", [])])
        for poem in found
        if isinstance(poem, dict)
    )
    return pieces(list(shown), 10_000, "\n\n")


def blocks(path, data):
    """Paragraphs of draft.js documents."""
    return ["\n\n".join(block["text"] for block in document["blocks"]) + "\n" for document in json_of(data)]


def gzip_text(path, data):
    return text(path, gzip.decompress(data))


def large_json(path, data):
    """The second-level members of a large JSON object, indented, each a document."""
    documents = []
    for key, value in (json_of(data) or {}).items():
        for inner, item in value.items() if isinstance(value, dict) else ():
            documents.append(json.dumps({key: {inner: item}}, indent=2, ensure_ascii=False) + "\n")
    return documents
