#!/usr/bin/env python3
"""How fast each decoder is, in MB of input a second on one core, and how much memory it needs.

`speed.py BLT_CLI [FOLDER]` makes larger files with ffmpeg and Python, adds the files of FOLDER if one is given (such as a corpus), and
decodes them one at a time, each in its own process, as `ingest --decode-only` does. Prints one row a kind of file.
"""

import argparse
import collections
import json
import pathlib
import random
import resource
import subprocess
import sys
import tempfile
import zipfile


def ffmpeg(path, *arguments):
    subprocess.run(["ffmpeg", "-v", "error", "-y", *arguments, path], check=True)


def make(folder):
    """One large file of a kind, from seeded noise and tones."""
    rng = random.Random(7)
    words = ["".join(rng.choices("etaoinshrdlu", k=rng.randint(2, 9))) for _ in range(5000)]
    sentence = lambda: " ".join(rng.choices(words, k=12))
    sine, film = ("-f", "lavfi", "-i", "sine=440:duration=600"), ("-f", "lavfi", "-i", "testsrc2=size=640x360:rate=25:duration=20")
    ffmpeg(folder / "tone.wav", *sine, "-ac", "2")
    ffmpeg(folder / "tone.flac", *sine, "-ac", "2")
    ffmpeg(folder / "tone.mp3", *sine, "-ac", "2", "-b:a", "192k")
    ffmpeg(folder / "tone.m4a", *sine, "-ac", "2", "-b:a", "192k")
    ffmpeg(folder / "film.mp4", *film, "-b:v", "4M")
    picture = ("-f", "lavfi", "-i", "mandelbrot=size=4000x3000:rate=1", "-frames:v", "1")
    for name in ("picture.png", "picture.jpg", "picture.bmp"):
        ffmpeg(folder / name, *picture)
    (folder / "table.csv").write_text("".join(f'{row},"{sentence()}",{rng.random()}\n' for row in range(400_000)))
    (folder / "rows.jsonl").write_text("".join(json.dumps({"id": row, "text": sentence()}) + "\n" for row in range(300_000)))
    (folder / "page.html").write_text("<html><body>" + "".join(f"<p>{sentence()} <b>{sentence()}</b></p>\n" for _ in range(100_000)) + "</body></html>")
    (folder / "prose.txt").write_text("".join(sentence() + ".\n" for _ in range(500_000)))
    with zipfile.ZipFile(folder / "texts.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(200):
            archive.writestr(f"{number}.txt", "".join(sentence() + ".\n" for _ in range(1000)))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program", type=pathlib.Path)
    parser.add_argument("folder", type=pathlib.Path, nargs="?")
    arguments = parser.parse_args()
    found = collections.defaultdict(lambda: [0, 0, 0.0, 0])
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        make(scratch)
        (scratch / "program.elf").write_bytes(arguments.program.read_bytes())
        files = sorted(scratch.iterdir()) + sorted(path for path in (arguments.folder.rglob("*") if arguments.folder else []) if path.is_file())
        command = [arguments.program.resolve(), "ingest", "--decode-only", "--threads", "1", "--timeout", "600", *files]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
        for row in map(json.loads, done.stdout.splitlines()):
            path = pathlib.Path(row["path"])
            kind = found[f"{row['modality']} {path.suffix}"]
            kind[0] += 1
            kind[1] += path.stat().st_size
            kind[2] += row["seconds"]
            kind[3] += row["status"] == "failed"
    print("| kind | files | MB | MB/s | failed |\n| --- | --- | --- | --- | --- |")
    for kind, (count, n_bytes, seconds, failed) in sorted(found.items()):
        print(f"| {kind} | {count} | {n_bytes / 1e6:.1f} | {n_bytes / 1e6 / max(seconds, 1e-9):.1f} | {failed} |")
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    print(f"\nThe largest process needed {peak // 1024} MiB.")
    return 0 if done.returncode in (0, 1) else 1


if __name__ == "__main__":
    sys.exit(main())
