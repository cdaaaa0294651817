"""Reads a synthetic corpus in two extreme shapes, with pyarrow and with this crate, in turn.

    python reading.py PROGRAM FOLDER [GIGABYTES]

PROGRAM is the example `read_column`, built; FOLDER gets the corpora: one file with a single row group, one with 5,000.
Needs pyarrow. Both read the column `text`; pyarrow decodes it, this crate makes a text of its own of every value.
"""

import json, os, random, resource, statistics, subprocess, sys, time
import pyarrow as pa, pyarrow.parquet as pq

GROUPS = 5000


def words():
    rng = random.Random(7)
    letters = "etaoinshrdlucmfwypvbgkjqxz"
    return ["".join(rng.choices(letters, weights=range(26, 0, -1), k=rng.randint(2, 9))) for _ in range(20000)]


def make(folder, n_bytes):
    vocabulary, rng = words(), random.Random(8)
    # About 4 kB of text a row, as pages of the web have; snappy, as most corpora.
    pool = [" ".join(rng.choices(vocabulary, k=600)) for _ in range(2000)]
    n_rows = n_bytes // 4000
    schema = pa.schema([("id", pa.string()), ("text", pa.string()), ("score", pa.float64())])
    for name, rows_a_group in [("one.parquet", n_rows), ("many.parquet", -(-n_rows // GROUPS))]:
        path = os.path.join(folder, name)
        if os.path.exists(path):
            continue
        with pq.ParquetWriter(path, schema, use_dictionary=False) as writer:
            for start in range(0, n_rows, rows_a_group):
                n = min(rows_a_group, n_rows - start)
                texts = [f"{start + i} {pool[(start + i) * 7919 % len(pool)]}" for i in range(n)]
                ids = [f"row-{start + i}" for i in range(n)]
                texts = pa.chunked_array([pa.array(texts[i : i + 50000]) for i in range(0, n, 50000)])
                writer.write_table(pa.table([pa.array(ids), texts, pa.array([0.5] * n)], schema=schema), row_group_size=rows_a_group)


def with_pyarrow(path):
    """Decodes the column, and looks at no value: what pyarrow takes for its own part."""
    start = time.perf_counter()
    rows = sum(batch.num_rows for batch in pq.ParquetFile(path).iter_batches(columns=["text"]))
    return {"rows": rows, "seconds": time.perf_counter() - start, "peak": f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss} kB"}


if __name__ == "__main__":
    if sys.argv[1] == "--pyarrow":
        print(json.dumps(with_pyarrow(sys.argv[2])))
        sys.exit()
    program, folder = sys.argv[1], sys.argv[2]
    make(folder, int(float(sys.argv[3] if len(sys.argv) > 3 else 1.5) * 1e9))
    run = lambda *command: json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    for name in ["one.parquet", "many.parquet"]:
        path = os.path.join(folder, name)
        with open(path, "rb") as file:  # both find the file in memory
            while file.read(1 << 24):
                pass
        ours, theirs = [], []
        for _ in range(5):
            theirs.append(run(sys.executable, __file__, "--pyarrow", path))
            ours.append(run(program, path, "text"))
        assert ours[0]["rows"] == theirs[0]["rows"]
        n = ours[0]["bytes"]
        rate = lambda runs: n / statistics.median(run["seconds"] for run in runs) / 1e6
        print(f"{name}: {os.path.getsize(path) / 1e9:.2f} GB, {n / 1e9:.2f} GB of text: ours {rate(ours):.0f} MB/s, "
              f"pyarrow {rate(theirs):.0f} MB/s, ratio {rate(ours) / rate(theirs):.2f}; "
              f"peak ours {max(run['peak'] for run in ours)}, pyarrow {max(run['peak'] for run in theirs)}")
