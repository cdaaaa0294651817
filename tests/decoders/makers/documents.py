"""Office files, books, web pages, mail, tables."""

import email.message
import email.policy
import io
import json
import re
import tempfile
import zipfile
from pathlib import Path

from .archives import zipped
from .fixtures_folder import CLOCK
from .images import png_bytes

TITLE = "The keeper's log"
BODY = "Wind from the north-west, force seven. The lamp burned without a break until morning."
CITIES = [["city", "people", "area"], ["Łódź", 670642, 293.25], ["Porto", 231800, 41.42], ["São Tomé", 71868, 17.0]]
NOTES = [["name", "note"], ["Ada", 'said "hello", then left'], ["Grace", "two\nlines"], ["", "no name"]]
HTML = f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{TITLE}</title>
<style>p {{ color: #333 }}</style><script>var hidden = "not a word of the page";</script></head>
<body><h1>{TITLE}</h1><p>{BODY} <b>Bold</b> &amp; <i>bright</i> &mdash; caf&eacute;.</p>
<ul><li>first item</li><li>second item</li></ul>
<table><tr><th>city</th><th>people</th></tr><tr><td>Porto</td><td>231800</td></tr></table>
<!-- a comment --></body></html>
"""
XML = f'<?xml version="1.0" encoding="UTF-8"?>\n<log keeper="Ingrid"><entry day="1">{BODY}</entry><entry day="2"/></log>\n'
RTF = r"""{\rtf1\ansi\ansicpg1250\deff0{\fonttbl{\f0\fcharset238 Times;}{\f1\fcharset204 Times;}}
{\colortbl;\red1\green2\blue3;}{\stylesheet{\s0 Normal;}}{\info{\title Nobody reads this}}{\*\generator Nor this;}
\f0\fs24 {\b The keeper's log}\par Wind from the north\endash west, \uc1\u28783?\u21488? and \u-10179?\u-8704?.\par
\'a3\'f3d\'9f {\f1 \'cc\'ee\'f0\'e5} {\field{\*\fldinst HYPERLINK "x"}{\fldrslt a link}}\tab end\par
{\*\shppict{\pict\pngblip\picw61\pich45 PNG}}\par}
"""
RECORDS = [{"id": 1, "text": "first", "tags": ["a", "b"]}, {"id": 2, "text": "zweite Zeile ü", "tags": []}, {"id": 3, "text": None}]


def settled(write):
    """A zip-based office file by `write`, packed anew with fixed times, inside its description too."""

    def make(path):
        buffer = io.BytesIO()
        write(buffer)
        with zipfile.ZipFile(buffer) as archive:
            members = [(info, archive.read(info)) for info in archive.infolist()]
        with zipfile.ZipFile(path, "w") as archive:
            for info, content in members:
                if info.filename.endswith(("core.xml", "content.opf")):
                    content = re.sub(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", b"2024-01-02T03:04:06Z", content)
                fixed = zipfile.ZipInfo(info.filename, CLOCK)
                fixed.compress_type = info.compress_type
                archive.writestr(fixed, content)

    return make


def word(buffer):
    import docx

    document = docx.Document()
    document.add_heading(TITLE, 1)
    document.add_paragraph(BODY)
    paragraph = document.add_paragraph("A run of ")
    paragraph.add_run("bold").bold = True
    paragraph.add_run(" and plain words, and a picture below.")
    document.add_picture(io.BytesIO(png_bytes()))
    table = document.add_table(rows=0, cols=3)
    for row in CITIES:
        for cell, value in zip(table.add_row().cells, row):
            cell.text = str(value)
    document.save(buffer)


def slides(buffer):
    import pptx

    deck = pptx.Presentation()
    for title, text in ((TITLE, BODY), ("Second slide", "A point\nAnother point")):
        slide = deck.slides.add_slide(deck.slide_layouts[1])
        slide.shapes.title.text = title
        slide.placeholders[1].text = text
    slide.shapes.add_picture(io.BytesIO(png_bytes()), 0, 0)
    slide.notes_slide.notes_text_frame.text = "Spoken aside"
    deck.save(buffer)


def sheets(buffer):
    import openpyxl

    book = openpyxl.Workbook()
    book.active.title = "cities"
    for row in CITIES:
        book.active.append(row)
    second = book.create_sheet("notes")
    for row in NOTES:
        second.append(row)
    book.save(buffer)


def open_sheets(buffer):
    from odf import opendocument, table, text

    book = opendocument.OpenDocumentSpreadsheet()
    cities = table.Table(name="cities")
    for row in CITIES:
        line = table.TableRow()
        for value in row:
            typed = {"valuetype": "string"} if isinstance(value, str) else {"valuetype": "float", "value": value}
            cell = table.TableCell(**typed)
            cell.addElement(text.P(text=str(value)))
            line.addElement(cell)
        cities.addElement(line)
    book.spreadsheet.addElement(cities)
    book.save(buffer)


def open_text(buffer):
    from odf import opendocument, text

    document = opendocument.OpenDocumentText()
    document.text.addElement(text.H(outlinelevel=1, text=TITLE))
    document.text.addElement(text.P(text=BODY))
    document.save(buffer)


def book(buffer):
    from ebooklib import epub

    volume = epub.EpubBook()
    volume.set_identifier("urn:example:log")
    volume.set_title(TITLE)
    volume.set_language("en")
    chapters = []
    for number, text in enumerate((BODY, "The second chapter is shorter."), start=1):
        chapter = epub.EpubHtml(title=f"Chapter {number}", file_name=f"chapter{number}.xhtml", lang="en")
        chapter.content = f"<h1>Chapter {number}</h1><p>{text}</p>"
        volume.add_item(chapter)
        chapters.append(chapter)
    volume.toc = volume.spine = chapters
    volume.add_item(epub.EpubNcx())
    volume.add_item(epub.EpubNav())
    with tempfile.TemporaryDirectory() as folder:
        epub.write_epub(str(Path(folder, "book.epub")), volume)
        buffer.write(Path(folder, "book.epub").read_bytes())


def mail(_):
    """Quoted-printable text, base64 HTML, and two attachments, one of them a zip archive."""
    message = email.message.EmailMessage(policy=email.policy.SMTP)
    message["From"] = "Ingrid Larsen <keeper@example.org>"
    message["To"] = "harbour@example.org"
    message["Subject"] = "Öl für die Lampe"
    message["Date"] = "Tue, 02 Jan 2024 03:04:05 +0000"
    message["Message-ID"] = "<log-1@example.org>"
    message.set_content(f"{BODY}\n\nGrüße vom Leuchtturm = 100 %.\n" + "A rather long line. " * 8 + "\n", cte="quoted-printable")
    message.add_alternative(HTML, subtype="html", cte="base64")
    message.add_attachment(csv_bytes(CITIES), "text", "csv", filename="cities.csv")
    message.add_attachment(zipped({"inside.txt": b"in a mail\n"}), "application", "zip", filename="log.zip")
    set_boundaries(message)
    return message.as_bytes()


def set_boundaries(message):
    for number, part in enumerate(part for part in message.walk() if part.is_multipart()):
        part.set_boundary(f"=== part {number} ===")


def csv_bytes(rows, delimiter=","):
    import csv

    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, lineterminator="\r\n").writerows(rows)
    return text.getvalue().encode()


def parquet(path):
    import pyarrow
    from pyarrow import parquet

    columns = list(zip(*CITIES[1:]))
    table = pyarrow.table({**dict(zip(CITIES[0], columns)), "note": ["a", None, "c"]})
    parquet.write_table(table, path, row_group_size=2, compression="snappy")


def warc(is_gzipped):
    def make(_):
        from warcio.statusandheaders import StatusAndHeaders
        from warcio.warcwriter import WARCWriter

        buffer = io.BytesIO()
        writer = WARCWriter(buffer, gzip=is_gzipped)
        for number, (kind, body) in enumerate((("text/html; charset=utf-8", HTML.encode()), ("text/plain", b"plain words\n"))):
            http = StatusAndHeaders("200 OK", [("Content-Type", kind), ("Content-Length", str(len(body)))], protocol="HTTP/1.1")
            fixed = {"WARC-Date": "2024-01-02T03:04:05Z", "WARC-Record-ID": f"<urn:uuid:00000000-0000-4000-8000-{number:012}>"}
            url = f"http://example.org/page{number}"
            writer.write_record(writer.create_warc_record(url, "response", io.BytesIO(body), http_headers=http, warc_headers_dict=fixed))
        return buffer.getvalue()

    return make


def make(fixtures):
    def add(name, check, maker, **facts):
        fixtures.add(name, "document", check, maker, **facts)

    lines = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in RECORDS).encode()
    add("log.docx", "docx", settled(word))
    add("log.pptx", "pptx", settled(slides))
    add("tables.xlsx", "xlsx", settled(sheets))
    add("cities.ods", "ods", settled(open_sheets))
    add("log.odt", "odt", settled(open_text))
    add("book.epub", "epub", settled(book))
    add("page.html", "html", lambda _: HTML.encode())
    add("letter.eml", "eml", mail)
    add("notes.csv", "csv", lambda _: csv_bytes(NOTES), delimiter=",")
    add("cities.tsv", "csv", lambda _: csv_bytes(CITIES, "\t"), delimiter="\t")
    add("records.jsonl", "jsonl", lambda _: lines)
    add("records.json", "json", lambda _: json.dumps(RECORDS, indent=2, ensure_ascii=False).encode())
    add("cities.parquet", "parquet", parquet)
    add("crawl.warc", "warc", warc(False))
    add("crawl.warc.gz", "warc", warc(True))
    add("log.xml", "xml", lambda _: XML.encode())
    add("log.rtf", "rtf", lambda _: RTF.replace("PNG", png_bytes().hex()).encode())
