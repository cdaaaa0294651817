#!/usr/bin/env python3
"""Builds the training and test text from unpacked packages: `corpus.py DIR`, after `fetch.py DIR`.

Reads DIR/packages by the rows of `sources.tsv`, writes DIR/corpus/{train,test,spike}.DOMAIN.bin (documents one after the
other, each behind its length in four little-endian bytes; literature is English too, and tested as English), DIR/corpus/report.tsv (what each row gave), and compares the
files' hashes with `corpus.sha256` (`--record` writes them there instead).

Order: files by name, then shuffled by a generator seeded with the package's name; nothing depends on the machine, on
time or on the hash seed. Test rows are read first. From the training rows are then removed:
  - lines that more than 5 % of a package's documents share (navigation, notices),
  - documents of which more than a half stands in earlier training documents,
  - documents of which more than a fifth stands in a test, and from the others every line that shares 64 bytes with one.
"""
import csv
import hashlib
import json
import pathlib
import random
import re
import struct
import sys
from collections import Counter

import numpy as np

import readers
import streams

HERE = pathlib.Path(__file__).parent
DOMAINS = ("literature", "english", "code", "languages", "markup", "streams")
SPAN = 64
PRIME = np.uint64(0x9E3779B97F4A7C15 | 1)


def powers(count, base):
    """`base ** i` for i below `count`, modulo 2**64."""
    table = np.full(count, base, np.uint64)
    table[0] = 1
    return np.cumprod(table, dtype=np.uint64)


LONGEST = 1 << 20
FORWARD = powers(LONGEST + 1, PRIME)
BACKWARD = powers(LONGEST + 1, np.uint64(pow(int(PRIME), -1, 1 << 64)))


def span_hashes(document):
    """A hash of each span of 64 bytes that begins in `document`, letters in lower case and white space as one blank."""
    folded = np.frombuffer(re.sub(rb"\s", b" ", document[:LONGEST]).lower(), np.uint8).astype(np.uint64) + np.uint64(1)
    if len(folded) < SPAN:
        return np.empty(0, np.uint64)
    sums = np.concatenate((np.zeros(1, np.uint64), np.cumsum(folded * FORWARD[: len(folded)], dtype=np.uint64)))
    hashes = (sums[SPAN:] - sums[:-SPAN]) * BACKWARD[: len(sums) - SPAN]
    return hashes ^ (hashes >> np.uint64(29))


def sampled(document, one_in):
    """Those hashes of spans that are 0 modulo `one_in`, with the places where they begin."""
    hashes = span_hashes(document)
    places = np.flatnonzero(hashes % np.uint64(one_in) == 0)
    return hashes[places], places


def files_of(root, row):
    base = root / "packages" / row["registry"] / row["package"]
    if not base.is_dir():
        raise SystemExit(f"`{base}` is absent; run fetch.py first")
    found = set()
    for pattern in row["files"].split():
        found.update(path for path in base.glob(pattern) if path.is_file() and not path.is_symlink())
    files = sorted(str(path) for path in found)
    if row["skip"]:
        files = [name for name in files if not re.search(row["skip"], name)]
    return files


def documents_of(root, row):
    """The documents of one row, as bytes, up to its limit."""
    limit = float(row["megabytes"]) * 1e6
    rng = random.Random(row["package"])
    if row["reader"] == "sound":
        return streams.generated_sound(row["package"], int(limit) // 60_000)
    reader = getattr(readers, row["reader"], None) or getattr(streams, row["reader"])
    files = files_of(root, row)
    rng.shuffle(files)
    documents, total = [], 0
    for name in files:
        # Lines that all documents share are removed later, so somewhat more is read than is kept.
        if total > 1.3 * limit:
            break
        data = pathlib.Path(name).read_bytes()
        for document in reader(name, data) if len(data) < 60_000_000 else []:
            if isinstance(document, str):
                document = document.replace("\r\n", "\n").encode("utf-8", "replace")
            # A test is of several documents.
            document = document[: LONGEST if row["use"] == "train" else int(limit / 4)]
            if len(document) >= 200:
                documents.append(document)
                total += len(document)
    if row["domain"] != "streams":
        documents = without_shared_lines(documents)
    if row["reader"] in ("sword", "dictionary", "wordnet", "large_json", "json_strings", "script_strings", "gettext", "poems"):
        rng.shuffle(documents)
    kept, total = [], 0
    for document in documents:
        if total + len(document) > limit:
            document = document[: int(limit - total)]
            if row["domain"] != "streams":
                document = document.decode("utf-8", "ignore").encode()
            if len(document) < 2000:
                continue
        if len(document) >= 200:
            kept.append(document)
            total += len(document)
    return kept


def without_shared_lines(documents):
    if len(documents) < 40:
        return documents
    counts = Counter(line for document in documents for line in set(document.split(b"\n")) if len(line) > 3)
    limit = max(20, len(documents) // 20)
    shared = {line for line, count in counts.items() if count > limit}
    return [b"\n".join(line for line in document.split(b"\n") if line not in shared) for document in documents]


class Seen:
    """Which spans stood in the documents so far."""

    def __init__(self, one_in):
        self.one_in, self.hashes = one_in, set()

    def share(self, document):
        """How much of `document` was seen."""
        hashes = sampled(document, self.one_in)[0].tolist()
        return sum(item in self.hashes for item in hashes) / len(hashes) if hashes else 0.0

    def add(self, document):
        self.hashes.update(sampled(document, self.one_in)[0].tolist())


def without_test(document, test_hashes):
    """`document` without the lines that share a span with a test; nothing if that is more than a fifth of its spans."""
    hashes, places = sampled(document, 8)
    found = test_hashes[np.minimum(np.searchsorted(test_hashes, hashes), len(test_hashes) - 1)] == hashes
    if not found.any():
        return document
    if found.mean() > 0.2:
        return None
    kept, at, marks = [], 0, places[found]
    for line in document.splitlines(keepends=True):
        first = np.searchsorted(marks, at - SPAN + 1)
        if first == len(marks) or marks[first] >= at + len(line):
            kept.append(line)
        at += len(line)
    return b"".join(kept)


def main(root, record):
    with open(HERE / "sources.tsv", newline="") as table:
        rows = list(csv.DictReader((line for line in table if not line.startswith("#")), delimiter="\t"))
    parts = {(use, domain): [] for use in ("train", "test", "spike") for domain in DOMAINS}
    report = []
    for row in rows:
        if row["use"] != "train":
            documents = documents_of(root, row)
            parts[row["use"], row["domain"]] += documents
            report.append((row, len(documents), sum(map(len, documents)), 0, 0))
            print(*row_line(report[-1]), sep="\t", flush=True)
    texts = [document for (use, domain), documents in parts.items() for document in documents if domain != "streams"]
    test_hashes = np.unique(np.concatenate([sampled(document, 8)[0] for document in texts]))
    seen = Seen(64)
    for row in rows:
        if row["use"] == "train":
            kept, repeated, shared = [], 0, 0
            for document in documents_of(root, row):
                before = len(document)
                if row["domain"] != "streams":
                    if seen.share(document) > (0.8 if row["domain"] == "markup" else 0.5):
                        repeated += before
                        continue
                    document = without_test(document, test_hashes)
                    shared += before - len(document or b"")
                    if document is None or len(document) < 200:
                        continue
                    seen.add(document)
                kept.append(document)
            parts["train", row["domain"]] += kept
            report.append((row, len(kept), sum(map(len, kept)), repeated, shared))
            print(*row_line(report[-1]), sep="\t", flush=True)
    into = root / "corpus"
    into.mkdir(exist_ok=True)
    hashes = {}
    for (use, domain), documents in parts.items():
        if use == "train":
            random.Random(domain).shuffle(documents)
        body = b"".join(struct.pack("<I", len(document)) + document for document in documents)
        if body:
            (into / f"{use}.{domain}.bin").write_bytes(body)
            hashes[f"{use}.{domain}.bin"] = hashlib.sha256(body).hexdigest()
            print(use, domain, len(documents), "documents", len(body), "bytes", flush=True)
    header = ("use", "domain", "registry", "package", "documents", "bytes", "repeated_bytes", "bytes_shared_with_tests")
    lines = ["\t".join(header)] + ["\t".join(map(str, row_line(item))) for item in report]
    (into / "report.tsv").write_text("\n".join(lines) + "\n")
    listed = "".join(f"{digest}  {name}\n" for name, digest in sorted(hashes.items()))
    if record:
        (HERE / "corpus.sha256").write_text(listed)
    elif (HERE / "corpus.sha256").read_text() != listed:
        raise SystemExit(f"the corpus differs from the recorded one:\n{listed}")


def row_line(item):
    row, count, total, repeated, shared = item
    return row["use"], row["domain"], row["registry"], row["package"], count, total, repeated, shared


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), "--record" in sys.argv)
