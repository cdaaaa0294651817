#!/usr/bin/env python3
"""Measures how speed grows with the number of NVIDIA cards of this machine: the engine alone, and `ingest` from JSON Lines to files.

For 1, 2, 4, ... cards: MB/s, efficiency (speed a card, against that of one card), and for `ingest` the host's processor time,
memory, and the bytes written. Every card gets the same amount of text. The outputs of one corpus must be the same bytes for
every number of cards; exits with 1 when they are not. Needs Python and the two programs only; `cargo build --release -p blt-bench
-p blt-cli` makes them.
"""

import argparse
import hashlib
import json
import math
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
TEXT = ROOT / "samples/prose/lighthouse.txt"
# What tells of the run and not of the text.
OF_THE_RUN = {"run.json", "stats.json", "manifest.db", "manifest.db-wal", "manifest.db-shm", ".lock"}
FORMS = {
    "parquet": ("Parquet, no embeddings", ["--embeddings", "none"]),
    "safetensors": ("safetensors, bf16 of each patch", ["--embedding-dtype", "bf16"]),
}


def cards():
    listed = subprocess.run(["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"], capture_output=True, text=True, check=True)
    return listed.stdout.split("\n")[:-1]


def environment(n_cards):
    return {**os.environ, "CUDA_VISIBLE_DEVICES": ",".join(map(str, range(n_cards)))}


def engine_speed(bench, model, n_cards, pooled):
    command = [bench, "model", model, "--engine", "cuda:all", "--dtype", "bf16", "--text", TEXT, "--bytes", "8192"]
    command += ["--documents", str(256 * n_cards), "--repetitions", "5", *(["--pooled"] if pooled else [])]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, env=environment(n_cards))
    if done.returncode != 0:
        sys.exit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def engines(bench, models, counts):
    """Prints the table, and gives the threshold of each model for patches of 4.5 bytes."""
    print("\n| model | what | cards | MB/s | efficiency | host CPU s a MB |\n| --- | --- | --- | --- | --- | --- |")
    thresholds = {}
    for model in models:
        for what, pooled in (("entropies", False), ("entropies, norms, patch sums", True)):
            first = None
            for n in counts:
                found = engine_speed(bench, model, n, pooled)
                speed = found["bytes_per_second"]
                first = first or speed
                thresholds[model] = found["threshold_nats"]
                processor = 1e6 / found["bytes_per_cpu_second"]
                print(f"| {model} | {what} | {n} | {speed / 1e6:.2f} | {speed / n / first:.1%} | {processor:.2f} |", flush=True)
    return thresholds


def write_corpus(folder, n_files, bytes_a_file):
    """JSON Lines of documents whose lengths are log-normal with a mean of 4,000 bytes, all of one text."""
    text = "".join(c for c in TEXT.read_text() if c.isascii())
    draw = random.Random(7)
    mu = math.log(4000) - 1.2**2 / 2
    folder.mkdir(parents=True)
    for i in range(n_files):
        n_bytes = 0
        with open(folder / f"train-{i:05}.jsonl", "w") as file:
            while n_bytes < bytes_a_file:
                length = min(max(int(draw.lognormvariate(mu, 1.2)), 1), 1 << 20)
                start = draw.randrange(len(text))
                document = (text[start:] + text * (1 + length // len(text)))[:length]
                file.write(json.dumps({"text": document}) + "\n")
                n_bytes += length


def first_files(corpus, folder, n_files):
    """The first files of a corpus, as one of their own."""
    folder.mkdir(exist_ok=True)
    for path in sorted(corpus.iterdir())[:n_files]:
        os.link(path, folder / path.name)
    return sum(len(json.loads(line)["text"]) for path in folder.iterdir() for line in open(path))


class Busy(threading.Thread):
    """Mean share of the time in which cards computed, as the driver says."""

    def __init__(self, n_cards):
        super().__init__(daemon=True)
        self.n_cards, self.seen, self.over = n_cards, [], threading.Event()

    def run(self):
        query = ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits"]
        while not self.over.wait(0.5):
            lines = subprocess.run(query, capture_output=True, text=True).stdout.split()
            self.seen += [float(line) for line in lines[: self.n_cards] if line.isdigit()]

    def share(self):
        self.over.set()
        self.join()
        return sum(self.seen) / len(self.seen) / 100 if self.seen else math.nan


def ingest(cli, model, corpus, output, form, n_cards):
    """`model` is what says which."""
    command = [cli, "ingest", "--huggingface-dataset", corpus, "-o", output, "--backend", "cuda", "--device", "all"]
    command += ["--profile", *model, "--output-format", form, *FORMS[form][1]]
    busy = Busy(n_cards)
    busy.start()
    started = time.monotonic()
    with tempfile.TemporaryFile("w+") as out:
        child = subprocess.Popen([str(part) for part in command], stdout=out, stderr=out, env=environment(n_cards))
        _, status, usage = os.wait4(child.pid, 0)
        wall = time.monotonic() - started
        child.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        said = out.read()
    if child.returncode != 0:
        sys.exit(said)
    return {
        "wall": wall,
        "cpu": usage.ru_utime + usage.ru_stime,
        "system": usage.ru_stime,
        "memory": usage.ru_maxrss * 1024,
        "busy": busy.share(),
        "said": said,
        "written": sum(path.stat().st_size for path in output.rglob("*") if path.is_file()),
    }


def digests(folder):
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name not in OF_THE_RUN:
            with open(path, "rb") as file:
                found[str(path.relative_to(folder))] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def ends_to_ends(args, counts, thresholds, work):
    same = True
    print("\n| model | output | cards | MB of text | s | MB/s | efficiency | cards busy | host CPU s a MB | cores | memory | MB/s written |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for name in args.model:
        model, mb = [], args.embedded_mb
        if name == "random-100m":
            folder = work / name
            subprocess.run([args.bench, "random", folder], check=True, capture_output=True)
            model, mb = ["--model", folder, "--threshold", thresholds[name]], args.mb
        for form in args.form:
            mb_here = mb if form == "parquet" else max(1, mb // 4)
            corpus = work / "corpus"
            write_corpus(corpus, 4 * counts[-1], mb_here * 250_000)
            first, expected = None, None
            for n in counts:
                part = work / "part"
                n_bytes = first_files(corpus, part, 4 * n)
                output = work / "output"
                found = ingest(args.cli, model, part, output, form, n)
                speed = n_bytes / found["wall"]
                first = first or speed
                print(
                    f"| {name} | {FORMS[form][0]} | {n} | {n_bytes / 1e6:.0f} | {found['wall']:.1f} | {speed / 1e6:.2f} | {speed / n / first:.1%}"
                    f" | {found['busy']:.0%} | {found['cpu'] / n_bytes * 1e6:.2f} | {found['cpu'] / found['wall']:.1f}"
                    f" | {found['memory'] / 1e9:.2f} GB | {found['written'] / found['wall'] / 1e6:.0f} |",
                    flush=True,
                )
                if n == counts[-1]:
                    print(found["said"].strip(), file=sys.stderr)
                if n == 1:
                    expected = digests(output)
                shutil.rmtree(part)
                shutil.rmtree(output)
                if n > 1:
                    first_files(corpus, part, 4)
                    ingest(args.cli, model, part, output, form, n)
                    if digests(output) != expected:
                        print(f"DIFFERS: {n} cards make other bytes than one")
                        same = False
                    shutil.rmtree(part)
                    shutil.rmtree(output)
            print(f"{len(expected)} files of the first corpus are the same bytes for {counts} cards: {same}", file=sys.stderr, flush=True)
            shutil.rmtree(corpus)
    return same


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bench", type=pathlib.Path, default=ROOT / "target/release/blt-bench", help="the program blt-bench")
    parser.add_argument("--cli", type=pathlib.Path, default=ROOT / "target/release/blt-cli", help="the program blt-cli")
    parser.add_argument("--mb", type=int, default=1000, help="megabytes of text a card for the 100M model")
    parser.add_argument("--embedded-mb", type=int, default=1000, help="megabytes of text a card for the embedded model")
    parser.add_argument("--model", nargs="+", choices=["random-100m", "embedded"], default=["random-100m", "embedded"])
    parser.add_argument("--form", nargs="+", choices=list(FORMS), default=list(FORMS))
    parser.add_argument("--work", type=pathlib.Path, help="folder for corpora and outputs, on a local disk [default: a temporary one]")
    args = parser.parse_args()
    names = cards()
    counts = [1 << k for k in range(len(names).bit_length()) if 1 << k <= len(names)]
    if counts[-1] != len(names):
        counts.append(len(names))
    print(f"{len(names)} x {names[0]}, {os.cpu_count()} processor cores")
    thresholds = engines(args.bench, args.model, counts)
    with tempfile.TemporaryDirectory(dir=args.work) as work:
        same = ends_to_ends(args, counts, thresholds, pathlib.Path(work))
    sys.exit(0 if same else 1)


if __name__ == "__main__":
    main()
