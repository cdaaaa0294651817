#!/usr/bin/env python3
"""Thresholds for patches of a wanted mean size, and how patches lie on words: `calibrate.py HELD_OUT`.

Reads the files that `held_out.py` wrote and their entropies, float32 nats, one a byte, in `FILE.ent` beside each. Prints
the `thresholds` of a configuration, by modality, and a table by kind of text at the size of 4.5.

Byte 0 starts a patch, and byte `i` does when its entropy exceeds the threshold. Words are runs of letters, digits and `_`; in
scripts without spaces between words there are none to speak of.
"""
import json
import pathlib
import re
import sys

import numpy as np

SIZES = (4.5, 6.0, 8.0)
# What of the held-out text stands for a modality of the pipeline.
MODALITIES = {
    "text": ["english", "languages"],
    "code": ["code", "markup"],
    "image": ["streams/picture_tiles"],
    "audio": ["streams/sound"],
    "binary": ["streams/elf_sections"],
}
WORD = re.compile(rb"[\w\x80-\xff]+")


def read(folder):
    """The documents below a folder with their entropies."""
    found = []
    for path in sorted(folder.rglob("*.ent")):
        body, entropies = path.with_suffix("").read_bytes(), np.fromfile(path, np.float32)
        assert len(body) == len(entropies), path
        found.append((body, entropies))
    return found


def threshold_for(documents, size):
    """The threshold at which patches have `size` bytes on average, if every kind of text weighs by its bytes."""
    inner = np.sort(np.concatenate([entropies[1:] for _, entropies in documents]))
    n_bytes, wanted = sum(len(body) for body, _ in documents), 0
    wanted = round(n_bytes / size) - len(documents)
    return float(inner[len(inner) - max(wanted, 1) - 1])


def words_table(documents, threshold):
    """Mean patch, share of word starts that are boundaries, share of boundaries that start a word or cut one."""
    starts_cut = starts = boundaries = at_start = inside = n_bytes = patches = 0
    for body, entropies in documents:
        cut = entropies > threshold
        cut[0] = True
        word_start, word_inside = np.zeros(len(body), bool), np.zeros(len(body), bool)
        for word in WORD.finditer(body):
            word_start[word.start()] = True
            word_inside[word.start() + 1 : word.end()] = True
        # A patch may begin with the blank before the word as well.
        starts += int(word_start.sum())
        starts_cut += int((word_start & cut).sum())
        boundaries += int(cut[1:].sum())
        at_start += int((word_start & cut)[1:].sum())
        inside += int((word_inside & cut)[1:].sum())
        n_bytes += len(body)
        patches += int(cut.sum())
    return n_bytes, n_bytes / patches, starts_cut / starts, at_start / boundaries, inside / boundaries


def main(root):
    thresholds = {}
    for modality, folders in MODALITIES.items():
        documents = [document for folder in folders for document in read(root / folder)]
        thresholds[modality] = {str(size): round(threshold_for(documents, size), 3) for size in SIZES}
    print(json.dumps(thresholds, indent=1))
    print("| text | bytes | threshold | mean patch | word starts that are boundaries | boundaries at word starts | inside words |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for kind in ("english", "code", "markup", "languages"):
        documents = read(root / kind)
        for size in SIZES:
            threshold = threshold_for(documents, size)
            n_bytes, mean, found, at_start, inside = words_table(documents, threshold)
            print(f"| {kind} | {n_bytes} | {threshold:.3f} | {mean:.2f} | {found:.1%} | {at_start:.1%} | {inside:.1%} |")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
