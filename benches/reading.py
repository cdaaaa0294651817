#!/usr/bin/env python3
"""Compares reading Parquet with pyarrow's streaming, and measures memory: one file of one row group, and one of 5,000.

Both read the column of text, batch by batch, turn by turn; medians of the turns. `ingest` with a model that computes nothing then
shows the memory of a whole run. Needs pyarrow and the program blt-bench (`cargo build --release -p blt-bench`).
"""

import argparse
import json
import pathlib
import random
import statistics
import subprocess
import sys
import tempfile

import pyarrow
import pyarrow.parquet

ROOT = pathlib.Path(__file__).resolve().parent.parent
# In a process of its own, so that its peak memory is its own.
PEER = """
import json, resource, sys, time
import pyarrow.compute, pyarrow.parquet
started, processor = time.monotonic(), time.process_time()
file = pyarrow.parquet.ParquetFile(sys.argv[1], pre_buffer=False)
n_rows = n_bytes = 0
for batch in file.iter_batches(batch_size=int(sys.argv[2]), columns=["text"]):
    n_rows += batch.num_rows
    n_bytes += pyarrow.compute.sum(pyarrow.compute.binary_length(batch.column(0))).as_py()
print(json.dumps({"n_rows": n_rows, "n_bytes": n_bytes, "seconds": time.monotonic() - started,
    "cpu_seconds": time.process_time() - processor, "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}))
"""


def write(path, n_groups, n_bytes):
    """Documents of a log-normal length, mean 4,000 bytes, of one text; written a batch at a time."""
    text = (ROOT / "samples/prose/lighthouse.txt").read_text()
    text = "".join(c for c in text if c.isascii())
    text *= 1 + (1 << 20) // len(text)
    draw = random.Random(7)
    n_rows = n_bytes // 4000
    lengths = [min(max(int(draw.lognormvariate(7.574, 1.2)), 1), 1 << 19) for _ in range(n_rows)]
    group = n_rows // n_groups + 1
    schema = pyarrow.schema([("id", pyarrow.int64()), ("text", pyarrow.string())])
    # One row group of gigabytes needs one call that holds it: large strings in chunks.
    with pyarrow.parquet.ParquetWriter(path, schema, compression="snappy") as writer:
        for start in range(0, n_rows, group):
            chunks, ids = [], []
            for first in range(start, min(start + group, n_rows), 10_000):
                part = range(first, min(first + 10_000, start + group, n_rows))
                starts = [draw.randrange(len(text) - lengths[i]) for i in part]
                chunks.append(pyarrow.array([text[s : s + lengths[i]] for s, i in zip(starts, part)]))
                ids.append(pyarrow.array(part, pyarrow.int64()))
            table = pyarrow.table([pyarrow.chunked_array(ids), pyarrow.chunked_array(chunks)], schema=schema)
            writer.write_table(table, row_group_size=group)
    return sum(lengths)


def run(command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bench", type=pathlib.Path, default=ROOT / "target/release/blt-bench")
    parser.add_argument("--gb", type=float, default=2.5, help="of each of the two files")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2, help="of the ingest run")
    parser.add_argument("--work", type=pathlib.Path, help="folder on a local disk [default: a temporary one]")
    args = parser.parse_args()
    print("| file | who | MB/s | MB a CPU second | peak memory | ratio |\n| --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory(dir=args.work) as work:
        for n_groups in (1, 5000):
            folder = pathlib.Path(work) / f"{n_groups}"
            folder.mkdir()
            path = folder / "train-00000.parquet"
            n_bytes = write(path, n_groups, int(args.gb * 1e9))
            name = f"{n_bytes / 1e9:.1f} GB of text, {n_groups} row group{'s' if n_groups > 1 else ''}"
            peer = [sys.executable, "-c", PEER, path]
            cases = {
                "pyarrow, batches of 1,024 rows": [*peer, 1024],
                "pyarrow, batches of 65,536 rows": [*peer, 65536],
                "blt-dataset": [args.bench, "dataset", folder],
            }
            found = {case: [] for case in cases}
            for _ in range(args.turns):
                for case, command in cases.items():
                    found[case].append(run(command))
            if len({(one["n_rows"], one["n_bytes"]) for ones in found.values() for one in ones}) != 1:
                sys.exit("they did not read the same")
            middle = lambda case, key: statistics.median(one[key] for one in found[case])
            best = min(middle(case, "seconds") for case in cases if case.startswith("pyarrow"))
            for case in cases:
                seconds, processor = middle(case, "seconds"), middle(case, "cpu_seconds")
                print(
                    f"| {name} | {case} | {n_bytes / seconds / 1e6:.0f} | {n_bytes / processor / 1e6:.0f}"
                    f" | {middle(case, 'peak_bytes') / 1e6:.0f} MB | {best / seconds:.2f} |",
                    flush=True,
                )
            whole = run([args.bench, "dataset", folder, "--output", folder / "out", "--threads", args.threads])
            print(
                f"| {name} | ingest to Parquet, {args.threads} threads, no model | {n_bytes / whole['seconds'] / 1e6:.0f}"
                f" | {n_bytes / whole['cpu_seconds'] / 1e6:.0f} | {whole['peak_bytes'] / 1e6:.0f} MB | - |",
                flush=True,
            )


if __name__ == "__main__":
    main()
