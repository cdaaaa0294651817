#!/usr/bin/env python3
"""Kills `ingest` of a dataset at random moments, fills its disk, starts it twice at once, and compares what is there in the end.

A dataset of JSON Lines and Parquet files is ingested to each form of output: once undisturbed; then killed again and again
(SIGKILL) until it has been killed often enough, and completed; then by two processes at once; then into a small file system
that is full before the end, which is enlarged (for that it must be run as root, on Linux). All outputs must be the same bytes,
and hold every row of the dataset exactly once, by a count that knows nothing of the program but its formats. `cargo xtask
clients` runs this. Needs pyarrow and safetensors.
"""

import argparse
import hashlib
import json
import pathlib
import random
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time

import pyarrow
import pyarrow.parquet
from safetensors.numpy import load_file

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
MODEL = ROOT / "crates/blt-testkit/golden/model-small"
# What tells of the run and not of the rows.
OF_THE_RUN = {"run.json", "stats.json", ".lock"}
FORMS = {
    "safetensors": [],
    "webdataset": ["--output-format", "webdataset", "--webdataset-shard-size", "100", "--webdataset-compression", "none"],
    "parquet": ["--output-format", "parquet", "--webdataset-shard-size", "100"],
}


def write_dataset(folder, n_files, rows_a_file):
    """Files of either format by turns. Gives the text of each row by its id."""
    draw = random.Random(5)
    words = (ROOT / "samples/prose/lighthouse.txt").read_text().split()
    rows = {}
    (folder / "data").mkdir(parents=True)
    for file in range(n_files):
        texts = [" ".join(draw.choice(words) for _ in range(draw.randint(5, 120))) for _ in range(rows_a_file)]
        table = [{"id": f"{file}-{row}", "text": text} for row, text in enumerate(texts)]
        rows |= {f"item_{row['id']}": row["text"].encode() for row in table}
        name = folder / "data" / f"train-{file:05}-of-{n_files:05}"
        if file % 2:
            pyarrow.parquet.write_table(pyarrow.Table.from_pylist(table), f"{name}.parquet", row_group_size=13)
        else:
            pathlib.Path(f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in table))
    return rows


def files(folder):
    found = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name not in OF_THE_RUN)
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


def rows_of(folder, form):
    """The bytes of every row by its id, each time it is there."""
    found = []
    if form == "safetensors":
        found = [(path.name.removesuffix(".safetensors"), load_file(path)["bytes"].tobytes()) for path in folder.glob("*.safetensors")]
    elif form == "webdataset":
        for path in folder.glob("*.tar"):
            with tarfile.open(path) as tar:
                members = {member.name: tar.extractfile(member).read() for member in tar}
            names = [name.removesuffix(".json") for name in members if name.endswith(".json")]
            found += [(json.loads(members[f"{name}.json"])["id"], members[f"{name}.bytes.bin"]) for name in names]
    else:
        for path in (folder / "data").glob("*.parquet"):
            table = pyarrow.parquet.read_table(path, columns=["id", "bytes"])
            found += zip(table["id"].to_pylist(), table["bytes"].to_pylist())
    return found


class Check:
    def __init__(self, cli, dataset, rows):
        self.cli, self.dataset, self.rows, self.passed = cli, dataset, rows, True

    def command(self, form, output):
        named = [self.cli, "-q", "ingest", "--huggingface-dataset", self.dataset, "--data-files", "data/*", "--id-column", "id"]
        return [str(part) for part in [*named, "--model", MODEL, "--backend", "cpu", "--dtype", "f32", "-o", output, *FORMS[form]]]

    def complete(self, form, output):
        done = subprocess.run(self.command(form, output), capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"a run that nothing disturbs failed: {done.stderr}")

    def tell(self, form, what, is_right):
        self.passed &= is_right
        print(f"{'ok' if is_right else 'WRONG':6}{form:12}{what}", flush=True)

    def compare(self, form, output, clean, what):
        found, expected = files(output), files(clean)
        different = sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))
        self.tell(form, f"{what}: {len(expected)} files, {len(different)} differ {different[:3]}", not different)
        held = rows_of(output, form)
        self.tell(form, f"{what}: {len(held)} rows, each once and whole", len(held) == len(self.rows) and dict(held) == self.rows)

    def kills(self, form, work, clean, n_kills, seconds):
        output, draw = work / "killed", random.Random(11)
        n_killed = n_ended = 0
        while n_killed < n_kills:
            child = subprocess.Popen(self.command(form, output), stderr=subprocess.DEVNULL)
            try:
                child.wait(timeout=draw.random() * seconds * 0.4)
                # Every kill shall hit a run at work.
                shutil.rmtree(output)
                n_ended += 1
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
                n_killed += 1
        self.complete(form, output)
        self.compare(form, output, clean, f"killed {n_killed} times, begun anew {n_ended} times")

    def two_at_once(self, form, work, clean):
        output = work / "two"
        children = [subprocess.Popen(self.command(form, output), stderr=subprocess.PIPE, text=True) for _ in range(2)]
        said = [child.communicate()[1] for child in children]
        codes = sorted(child.returncode for child in children)
        refused = [text for text, child in zip(said, children) if child.returncode != 0]
        is_right = codes[0] == 0 and all("in use" in text for text in refused)
        self.tell(form, f"two at once: exit statuses {codes}", is_right)
        self.compare(form, output, clean, "two at once")

    def full_disk(self, form, work, clean):
        needed = sum(path.stat().st_size for path in clean.rglob("*") if path.is_file())
        small = work / "small"
        small.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", f"size={needed // 2}", "tmpfs", str(small)]
        if subprocess.run(mount, capture_output=True).returncode != 0:
            print(f"left  {form:12}full disk: a small file system cannot be mounted here")
            return
        try:
            output = small / "out"
            done = subprocess.run(self.command(form, output), capture_output=True, text=True)
            # As the system says it, or SQLite.
            told = [line for line in done.stderr.splitlines() if "No space left" in line or "disk is full" in line]
            self.tell(form, f"full disk: exit status {done.returncode}, `{''.join(told[:1])[-80:]}`", done.returncode != 0 and bool(told))
            subprocess.run(["mount", "-o", f"remount,size={4 * needed}", str(small)], check=True)
            self.complete(form, output)
            self.compare(form, output, clean, "full disk, then a larger one")
        finally:
            subprocess.run(["umount", str(small)], check=False)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cli", type=pathlib.Path, help="the program blt-cli")
    parser.add_argument("--kills", type=int, default=25)
    parser.add_argument("--files", type=int, default=20)
    parser.add_argument("--rows", type=int, default=60, help="of a file")
    parser.add_argument("--form", nargs="+", choices=FORMS, default=list(FORMS))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        rows = write_dataset(scratch / "dataset", args.files, args.rows)
        check = Check(args.cli.resolve(), scratch / "dataset", rows)
        for form in args.form:
            work = scratch / form
            work.mkdir()
            clean, started = work / "clean", time.monotonic()
            check.complete(form, clean)
            seconds = time.monotonic() - started
            check.compare(form, clean, clean, f"undisturbed, {seconds:.1f} s")
            check.kills(form, work, clean, args.kills, seconds)
            check.two_at_once(form, work, clean)
            check.full_disk(form, work, clean)
    sys.exit(0 if check.passed else 1)


if __name__ == "__main__":
    main()
