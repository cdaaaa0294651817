"""Plain texts in three charsets, and programs in sixteen languages."""

import pathlib

CODE = pathlib.Path(__file__).resolve().parent.parent / "code"
LINES = [
    "The keeper lit the lamp at dusk and wrote the hour into the book.",
    "",
    "Näher am Ufer hörte man Möwen; el niño corrió « déjà vu ».",
    "A last line of the first page, without any hurry, and quite plain.",
]
MORE = ["Περισσότερα: 日本語 и русский, 🙂 emoji, e\u0301 combining."]
MARKUP = {
    "notes.md": "# Notes\n\nA *short* list:\n\n- one\n- two\n\n```python\nprint('inside')\n```\n",
    "settings.toml": 'title = "example"\n\n[server]\nport = 8080\nnames = ["a", "b"]\n',
    "settings.yaml": "title: example\nserver:\n  port: 8080\n  names: [a, b]\n",
}


def make(fixtures):
    plain = "\n".join(LINES + MORE) + "\n"
    western = "\n".join(LINES) + "\n"
    fixtures.add("utf8.txt", "text", "text", lambda _: plain.encode(), charset="utf-8")
    fixtures.add("utf8-crlf.txt", "text", "text", lambda _: plain.replace("\n", "\r\n").encode(), charset="utf-8")
    fixtures.add("utf16le-bom.txt", "text", "text", lambda _: plain.encode("utf-16"), charset="utf-16")
    fixtures.add("latin1.txt", "text", "text", lambda _: western.encode("latin-1"), charset="latin-1")
    fixtures.add("empty.txt", "text", "empty", lambda _: b"")
    fixtures.add("noise.bin", "binary", "raw", lambda _: bytes((i * i * 31 + i * 7) % 251 for i in range(4096)))
    for path in sorted(CODE.iterdir()):
        fixtures.add(path.name, "code", "code", lambda _, path=path: path.read_bytes())
    for name, text in MARKUP.items():
        fixtures.add(name, "code", "markup", lambda _, text=text: text.encode())
