"""What independent programs and libraries say of a file."""

import bz2
import gzip
import html.parser
import io
import lzma
import re
import subprocess
import tarfile
import tempfile
import zipfile

import numpy

from environment import output


# Pictures


def pictures(path):
    """The frames of a picture as it is shown, by Pillow, or by the format's own library where Pillow reads less."""
    kind = path.suffix[1:]
    if kind == "tiff":
        import tifffile

        with tifffile.TiffFile(path) as file:
            return [page.asarray() for page in file.pages]
    if kind == "exr":
        import OpenEXR

        return [OpenEXR.File(str(path)).channels()["RGB"].pixels]
    if kind == "hdr":
        return [_radiance(path.read_bytes())]
    if kind == "ff":
        raw = path.read_bytes()
        width, height = numpy.frombuffer(raw[8:16], ">u4")
        return [numpy.frombuffer(raw[16:], ">u2").reshape(height, width, 4)]

    from PIL import Image, ImageOps, ImageSequence

    with tempfile.TemporaryDirectory() as folder:
        source = path
        if kind == "jxl":
            source = f"{folder}/picture.apng"
            output("djxl", path, source)
        with Image.open(source) as image:
            return [_pixels(ImageOps.exif_transpose(frame)) for frame in ImageSequence.Iterator(image)]


def _pixels(image):
    plain = image.mode in ("L", "RGB", "RGBA") or image.mode.startswith("I;16")
    return numpy.array(image if plain else image.convert("RGBA"))


def _radiance(raw):
    """Radiance's own formula for a file without run lengths."""
    header, _, rest = raw.partition(b"\n\n")
    line, _, content = rest.partition(b"\n")
    height, width = int(line.split()[1]), int(line.split()[3])
    rgbe = numpy.frombuffer(content, numpy.uint8).reshape(height, width, 4).astype(numpy.float32)
    return rgbe[..., :3] * 2.0 ** (rgbe[..., 3:] - 136)


# Sound and film


def samples(path, channels):
    """All samples by ffmpeg at the file's own rate, `[samples, channels]` from -1 to 1."""
    decoded = output("ffmpeg", "-nostdin", "-v", "error", "-i", path, "-map", "0:a:0", "-f", "f32le", "-")
    return numpy.frombuffer(decoded, "<f4").reshape(-1, channels)


def n_frames(path):
    query = ["-select_streams", "v:0", "-show_entries", "stream=nb_read_frames", "-of", "default=nw=1:nk=1"]
    return int(output("ffprobe", "-v", "error", "-count_frames", *query, path).split()[0])


def film(path, width, height):
    """All frames by ffmpeg, turned as they are shown."""
    decoded = output("ffmpeg", "-nostdin", "-v", "error", "-i", path, "-vsync", "0", "-f", "rawvideo", "-pix_fmt", "rgb24", "-")
    return numpy.frombuffer(decoded, numpy.uint8).reshape(-1, height, width, 3)


# Executables


def elf_sections(path):
    """(name, offset, size) of all sections with bytes in the file, by readelf."""
    return [(name, offset, size) for name, kind, _, offset, size in _elf_sections(path) if kind != "NOBITS" and size]


def elf_functions(path):
    """{file offset: names} of the functions that are defined and have a size, by readelf."""
    sections = {number: section for number, section in enumerate(_elf_sections(path), start=1)}
    relative = b"REL (Rel" in output("readelf", "-h", path)
    found = {}
    for line in output("readelf", "-s", "-W", path).decode().splitlines():
        parts = line.split()
        if len(parts) < 8 or parts[3] != "FUNC" or not parts[6].isdigit() or int(parts[2], 0) == 0:
            continue
        _, _, address, offset, _ = sections[int(parts[6])]
        place = int(parts[1], 16) + offset - (0 if relative else address)
        found.setdefault(place, set()).add(parts[7].partition("@")[0])
    return found


def _elf_sections(path):
    pattern = re.compile(r"\s*\[\s*(\d+)\]\s+(\S*)\s+([A-Z_0-9]+)\s+([0-9a-f]{8,16})\s+([0-9a-f]+)\s+([0-9a-f]+)\s")
    rows = []
    for line in output("readelf", "-S", "-W", path).decode().splitlines():
        row = pattern.match(line)
        if row and row[3] != "NULL":
            rows.append((row[2], row[3], int(row[4], 16), int(row[5], 16), int(row[6], 16)))
    return rows


def pe_sections(path):
    """(name, offset, size) by objdump; sections without bytes in the file are left out."""
    found = []
    lines = output("objdump", "-h", "-w", path).decode().splitlines()
    for line in lines:
        parts = line.split()
        if len(parts) > 6 and parts[0].isdigit() and "CONTENTS" in line:
            found.append((parts[1], int(parts[5], 16), int(parts[2], 16)))
    return found


def macho_sections(path):
    """(name, offset, size) by LIEF, offsets from the start of the file."""
    import lief

    whole = lief.MachO.parse(str(path))  # kept to the end, since its parts do not keep it alive
    return [(section.name, part.fat_offset + section.offset, section.size) for part in whole for section in part.sections]


def ar_members(path):
    """(name, offset of the content, size) by ar."""
    rows = [line.split() for line in output("ar", "tvO", path).decode().splitlines()]
    return [(row[7], int(row[8], 16), int(row[2])) for row in rows]


# Archives


def zip_members(path):
    """(name, start of its local header, start of its data, end of its data) of every file, by zipfile."""
    raw, members = path.read_bytes(), []
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            at = info.header_offset
            start = at + 30 + int.from_bytes(raw[at + 26 : at + 28], "little") + int.from_bytes(raw[at + 28 : at + 30], "little")
            if not info.is_dir():
                members.append((info.filename, at, start, start + info.compress_size))
    return members


def zip_content(path, name):
    """A member by unzip, and by zipfile, which must agree."""
    with zipfile.ZipFile(path) as archive:
        content = archive.read(name)
    environment = {"LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin:/usr/local/bin"}
    unzipped = subprocess.run(["unzip", "-p", path, name], capture_output=True, env=environment).stdout
    if unzipped != content:
        raise RuntimeError(f"unzip and zipfile differ on {name}")
    return content


def tar_members(path):
    """{name: bytes} of the files in a tar archive, compressed or not."""
    raw = path.read_bytes()
    if path.suffix != ".tar":
        raw = unpacked(path)
    with tarfile.open(fileobj=io.BytesIO(raw)) as archive:
        return {info.name: archive.extractfile(info).read() for info in archive if info.isfile()}


def unpacked(path):
    """What is inside a compressed file."""
    raw = path.read_bytes()
    match path.suffix:
        case ".gz":
            return gzip.decompress(raw)
        case ".bz2":
            return bz2.decompress(raw)
        case ".xz":
            return lzma.decompress(raw)
        case ".lz4":
            return output("lz4", "-q", "-d", "-c", path)
        case ".zst":
            import zstandard

            return zstandard.ZstdDecompressor().decompressobj().decompress(raw)
    raise ValueError(f"not a compressed file: {path}")


def seven_zip_members(path):
    """{name: bytes} by 7z."""
    names = re.findall(r"^Path = (.*)$", output("7z", "l", "-slt", "-ba", path).decode(), re.MULTILINE)
    contents = {name: output("7z", "x", "-so", path, name) for name in names}
    listing = output("7z", "l", "-ba", path).decode().splitlines()
    folders = {line.split()[-1] for line in listing if " D" in line[:26]}
    return {name: content for name, content in contents.items() if name not in folders}


# Documents


def pdf_text(path, password=""):
    return output("pdftotext", "-upw", password, path, "-").decode()


def docx_text(path):
    import docx

    document = docx.Document(path)
    cells = [cell.text for table in document.tables for row in table.rows for cell in row.cells]
    return "\n".join([*(paragraph.text for paragraph in document.paragraphs), *cells])


def pptx_text(path):
    import pptx

    parts = []
    for slide in pptx.Presentation(path).slides:
        parts += [shape.text_frame.text for shape in slide.shapes if shape.has_text_frame]
        if slide.has_notes_slide:
            parts.append(slide.notes_slide.notes_text_frame.text)
    return "\n".join(parts)


def xlsx_rows(path):
    """Rows of all sheets, one after another, as lists of the cells that hold something."""
    import openpyxl

    book = openpyxl.load_workbook(path, read_only=True)
    rows = [[value for value in row if value is not None] for sheet in book for row in sheet.iter_rows(values_only=True)]
    book.close()
    return [row for row in rows if row]


def ods_rows(path):
    from odf import opendocument, table, teletype

    book = opendocument.load(path)
    rows = book.spreadsheet.getElementsByType(table.TableRow)
    return [[teletype.extractText(cell) for cell in row.getElementsByType(table.TableCell)] for row in rows]


def odt_text(path):
    from odf import opendocument, teletype

    return "\n".join(teletype.extractText(part) for part in opendocument.load(path).text.childNodes)


class _Text(html.parser.HTMLParser):
    """The words of a page, without those of scripts and styles."""

    def __init__(self):
        super().__init__()
        self.parts, self.hidden = [], 0

    def handle_starttag(self, tag, attributes):
        self.hidden += tag in ("script", "style")

    def handle_endtag(self, tag):
        self.hidden -= tag in ("script", "style")

    def handle_data(self, text):
        if not self.hidden:
            self.parts.append(text)


def rtf_text(path):
    from striprtf.striprtf import rtf_to_text

    return rtf_to_text(path.read_text("ascii"))


def html_text(source):
    parser = _Text()
    parser.feed(source)
    return " ".join(parser.parts)


def epub_text(path):
    """The chapters in the order of reading."""
    import ebooklib
    from ebooklib import epub

    book = epub.read_epub(str(path), {"ignore_ncx": True})
    chapters = (book.get_item_with_id(name) for name, _ in book.spine)
    shown = (chapter for chapter in chapters if chapter.get_type() == ebooklib.ITEM_DOCUMENT)
    return "\n".join(html_text(chapter.get_body_content().decode()) for chapter in shown)


def mail_parts(path):
    """The plain text, and {file name: bytes} of the attachments."""
    import email
    import email.policy

    message = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
    attached = {part.get_filename(): part.get_payload(decode=True) for part in message.iter_attachments()}
    return message.get_body(("plain",)).get_content(), attached


def warc_bodies(path):
    from warcio.archiveiterator import ArchiveIterator

    with path.open("rb") as file:
        return [record.content_stream().read() for record in ArchiveIterator(file)]
