#!/usr/bin/env python3
"""Writes the held-out documents into files: `held_out.py DIR INTO [kilobytes of a package]`, after `corpus.py DIR`.

INTO gets a folder a domain with the beginnings of the documents of each test package, as bytes, for programs that read
files: `calibrate.py`, or anything that is to be compared on the same text.
"""
import csv
import pathlib
import sys

import corpus


def main(root, into, limit):
    with open(corpus.HERE / "sources.tsv", newline="") as table:
        rows = [row for row in csv.DictReader(table, delimiter="\t") if row["use"] == "test"]
    for row in rows:
        folder = into / row["domain"] / row["reader"]
        folder.mkdir(parents=True, exist_ok=True)
        left = limit
        for number, document in enumerate(corpus.documents_of(root, row)):
            piece = document[: min(left, limit // 2)]
            if row["domain"] != "streams":
                piece = piece.decode("utf-8", "ignore").encode()
            if len(piece) < 200:
                break
            name = row["package"].replace("/", "~")
            (folder / f"{name}.{number}").write_bytes(piece)
            left -= len(piece)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), int(float(sys.argv[3]) * 1000) if len(sys.argv) > 3 else 20_000)
