#!/usr/bin/env python3
"""Thresholds for patches of a wanted mean size, and how patches lie on words: `calibrate.py HELD_OUT [--blt-cli PROGRAM]`.

Reads the files that `held_out.py` wrote and their entropies, float32 nats, one a byte, in `FILE.ent` beside each; with
`--blt-cli`, entropies that are absent are computed by that program with its embedded model (`--model` names another).
Prints the `thresholds` of a configuration, by modality, for the rule `global`, and a table by text and rule at the size of
4.5. Every threshold is fitted to the text of its row.

Rules, as in `blt-patcher`: byte 0 starts a patch; byte `i` does when its entropy exceeds the threshold (`global`), when it
exceeds the one before by more than the threshold (`monotonic`), or when the entropy exceeds the threshold and has risen
by more than RISE (`global+monotonic`).

A word is a run of letters, digits, `_` and bytes above 127, together with apostrophes inside it: `don't` is one word,
`pre-war` two. It starts at its first byte, not at the blank before it. A boundary is the first byte of a patch, byte 0 of
a document not counted; inside a word means on any of its bytes but the first.
"""
import argparse
import json
import pathlib
import re
import subprocess

import numpy as np

SIZES = (4.5, 6.0, 8.0)
SIZE = SIZES[0]
RISE = 0.4
# What of the held-out text stands for a modality of the pipeline.
MODALITIES = {
    "text": ["english"],
    "code": ["code", "markup"],
    "image": ["streams/picture_tiles"],
    "audio": ["streams/sound"],
    "binary": ["streams/elf_sections"],
}
TEXTS = {
    "English prose: Austen": ["english/r_strings/*"],
    "English prose: fortunes": ["english/text/*"],
    "English prose: both": ["english/r_strings/*", "english/text/*"],
    "English manuals": ["english/html_text/*", "english/man/*"],
    "English: all": ["english/*/*"],
    "code": ["code/*/*"],
    "markup and data": ["markup/*/*"],
    "prose in eight languages with spaces": ["languages/text/fortunes-[!z]*", "languages/html_text/debian-faq-[!jz]*"],
    "interfaces in many languages": ["languages/gettext/*", "languages/script_strings/*"],
    "Chinese and Japanese": ["languages/text/fortunes-z*", "languages/html_text/debian-faq-[jz]*"],
}
WORD = re.compile(rb"[\w\x80-\xff]+(?:'[\w\x80-\xff]+)*")


def files(root, patterns):
    return sorted(path for pattern in patterns for path in root.glob(pattern) if path.is_file() and path.suffix != ".ent")


def read(root, patterns):
    """The documents that match, with their entropies."""
    found = []
    for path in files(root, patterns):
        body, entropies = path.read_bytes(), np.fromfile(f"{path}.ent", np.float32)
        assert len(body) == len(entropies), path
        found.append((body, entropies))
    return found


def compute(path, command):
    """Writes `path`'s entropies beside it."""
    done = subprocess.run([*command, str(path)], check=True, stdout=subprocess.PIPE)
    np.array(json.loads(done.stdout)["entropies"], np.float32).tofile(f"{path}.ent")


def scores(entropies, rule):
    """What a rule compares with its threshold, a value a byte."""
    rise = np.diff(entropies, prepend=entropies[:1])
    if rule == "global":
        return entropies
    return rise if rule == "monotonic" else np.where(rise > RISE, entropies, -np.inf)


def threshold_for(documents, size, rule="global"):
    """The threshold at which patches have `size` bytes on average, if every kind of text weighs by its bytes."""
    inner = np.sort(np.concatenate([scores(entropies, rule)[1:] for _, entropies in documents]))
    wanted = round(sum(len(body) for body, _ in documents) / size) - len(documents)
    return float(inner[len(inner) - max(wanted, 1) - 1])


def on_words(documents, rule, threshold):
    """Counts: bytes, patches, words, words whose first byte is a boundary, words for which it or the byte before is one,
    boundaries, boundaries at word starts, boundaries inside words."""
    counts = np.zeros(8, np.int64)
    for body, entropies in documents:
        cut = scores(entropies, rule) > threshold
        cut[0] = True
        start, inside = np.zeros(len(body), bool), np.zeros(len(body), bool)
        for word in WORD.finditer(body):
            start[word.start()] = True
            inside[word.start() + 1 : word.end()] = True
        near = cut | np.concatenate(([False], cut[:-1]))
        parts = (cut, start, start & cut, start & near, cut[1:], (start & cut)[1:], (inside & cut)[1:])
        counts += [len(body), *(int(part.sum()) for part in parts)]
    return counts


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=pathlib.Path, metavar="HELD_OUT")
    parser.add_argument("--blt-cli", metavar="PROGRAM")
    parser.add_argument("--model", default="embedded")
    arguments = parser.parse_args()
    root = arguments.root
    if arguments.blt_cli:
        command = [arguments.blt_cli, "patch", "--quiet", "--format", "json", "--model", arguments.model]
        for path in files(root, ["*/*/*"]):
            if not path.with_name(path.name + ".ent").exists():
                compute(path, command)
    thresholds = {}
    for modality, folders in MODALITIES.items():
        documents = read(root, [f"{folder}/*" if "/" in folder else f"{folder}/*/*" for folder in folders])
        thresholds[modality] = {str(size): round(threshold_for(documents, size), 3) for size in SIZES}
    print(json.dumps(thresholds, indent=1))
    print("| text | bytes | words a patch | rule | threshold | mean patch | word starts that are boundaries | or the byte before is | boundaries at word starts | inside words |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for title, patterns in TEXTS.items():
        documents = read(root, patterns)
        for rule in ("global", "monotonic", "global+monotonic"):
            threshold = threshold_for(documents, SIZE, rule)
            if threshold == -np.inf:
                print(f"| {title} | | | {rule} | too few rises: patches are longer | | | | | |")
                continue
            n_bytes, patches, words, found, near, boundaries, at_start, inside = on_words(documents, rule, threshold)
            print(
                f"| {title} | {n_bytes} | {words / patches:.2f} | {rule} | {threshold:.3f} | {n_bytes / patches:.2f} | {found / words:.1%} "
                f"| {near / words:.1%} | {at_start / boundaries:.1%} | {inside / boundaries:.1%} |"
            )


if __name__ == "__main__":
    main()
