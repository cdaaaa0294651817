"""PDF: columns, a rotated page, form fields, encryption, and a scan."""

import io

from reportlab.lib.pagesizes import A5
from reportlab.pdfgen import canvas

from environment import output

LEFT = """The lighthouse stands on a rock two miles from the shore. Its keeper winds the clock every night and writes
the weather into a book with a green cover. In winter the boat comes once a month, with flour and lamp oil."""
RIGHT = """Nobody remembers who built the stairs. There are one hundred and ninety steps, worn hollow in the middle.
Visitors count them aloud and never agree; the keeper says that the tower is still growing."""


def sheet(draw, **options):
    """A PDF of what `draw` puts on its canvas, without time stamps."""
    buffer = io.BytesIO()
    page = canvas.Canvas(buffer, pagesize=A5, invariant=1, **options)
    draw(page)
    page.save()
    return buffer.getvalue()


def column(page, text, x, y, width):
    """Words in lines no wider than `width`."""
    line = ""
    page.setFont("Helvetica", 10)
    for word in text.split():
        if page.stringWidth(f"{line} {word}") > width:
            page.drawString(x, y, line)
            line, y = "", y - 13
        line = f"{line} {word}".strip()
    page.drawString(x, y, line)


def two_columns(page):
    page.setFont("Times-Bold", 16)
    page.drawString(40, 540, "The Lighthouse")
    column(page, LEFT, 40, 500, 155)
    column(page, RIGHT, 225, 500, 155)
    page.showPage()
    column(page, LEFT, 40, 500, 320)


def form(page):
    page.drawString(40, 540, "Name and place of the keeper")
    page.acroForm.textfield(name="keeper", value="Ingrid Larsen", x=40, y=490, width=200, height=20)
    page.acroForm.textfield(name="place", value="Skerry Rock", x=40, y=450, width=200, height=20)
    page.acroForm.checkbox(name="resident", checked=True, x=40, y=420)
    page.drawString(70, 424, "resident")


def rotated(_):
    from pypdf import PdfReader, PdfWriter

    writer = PdfWriter()
    for turn, page in zip((90, 180), PdfReader(io.BytesIO(sheet(two_columns))).pages):
        page.rotate(turn)
        writer.add_page(page)
    buffer = io.BytesIO()
    writer.write(buffer)
    return buffer.getvalue()


def encrypted(path):
    """AES with 256 bits (revision 6); the salts are random, so the bytes differ from run to run."""
    import pikepdf

    with pikepdf.open(io.BytesIO(sheet(two_columns))) as document:
        document.save(path, encryption=pikepdf.Encryption(user="secret", owner="keeper of secrets", R=6))


def scan(path):
    """A page that is one picture of text."""
    from PIL import Image
    from reportlab.lib.utils import ImageReader

    whole = path.with_suffix(".whole.pdf")
    whole.write_bytes(sheet(two_columns))
    try:
        picture = Image.open(io.BytesIO(output("pdftoppm", "-r", "80", "-f", "1", "-l", "1", "-gray", "-png", whole)))
    finally:
        whole.unlink()
    return sheet(lambda page: page.drawImage(ImageReader(picture), 0, 0, *A5))


def make(fixtures):
    fixtures.add("columns.pdf", "pdf", "pdf", lambda _: sheet(two_columns), pages=2)
    fixtures.add("rotated.pdf", "pdf", "pdf", rotated, pages=2)
    fixtures.add("form.pdf", "pdf", "pdf", lambda _: sheet(form), pages=1)
    fixtures.add("encrypted.pdf", "pdf", "pdf", encrypted, pages=2, password="secret")
    fixtures.add("scan.pdf", "pdf", "pdf", scan, pages=1, needs_ocr=True)
