"""Reads a synthetic corpus in two extreme shapes, with pyarrow and with this crate, in turn.

    python reading.py PROGRAM FOLDER [GIGABYTES]

PROGRAM is the example `read_column`, built; FOLDER gets the corpora: one file with a single row group, one with 5,000.
Needs pyarrow. Both read the column `text`; pyarrow decodes it, this crate makes a text of its own of every value.
"""

import json, os, random, resource, subprocess, sys, time
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


def with_pyarrow(path, streams):
    """Decodes the column and looks at no value: what pyarrow takes for its own part, as it comes or told to stream."""
    how = {"use_threads": False} if streams else {}
    start = time.perf_counter()
    batches = pq.ParquetFile(path, pre_buffer=not streams).iter_batches(columns=["text"], **how)
    rows = sum(batch.num_rows for batch in batches)
    seconds = time.perf_counter() - start
    return {"rows": rows, "seconds": seconds, "peak": f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss} kB"}


def timed(*command):
    """What the command says, with the processor time that it took, start of the interpreter and all."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    told = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    told["processor"] = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return told


if __name__ == "__main__":
    if sys.argv[1] == "--pyarrow":
        print(json.dumps(with_pyarrow(sys.argv[2], sys.argv[3] == "streams")))
        sys.exit()
    program, folder = sys.argv[1], sys.argv[2]
    make(folder, int(float(sys.argv[3] if len(sys.argv) > 3 else 1.5) * 1e9))
    for name in ["one.parquet", "many.parquet"]:
        path = os.path.join(folder, name)
        with open(path, "rb") as file:  # all find the file in memory
            while file.read(1 << 24):
                pass
        commands = {
            "ours": [program, path, "text"],
            "pyarrow, as it comes": [sys.executable, __file__, "--pyarrow", path, "default"],
            "pyarrow, streaming": [sys.executable, __file__, "--pyarrow", path, "streams"],
        }
        runs = {who: [] for who in commands}
        for _ in range(3):
            for who, command in commands.items():
                runs[who].append(timed(*command))
        n = runs["ours"][0]["bytes"]
        assert len({run["rows"] for told in runs.values() for run in told}) == 1
        print(f"{name}: {os.path.getsize(path) / 1e9:.2f} GB, {n / 1e9:.2f} GB of text")
        for who, told in runs.items():
            rate = n / min(run["seconds"] for run in told) / 1e6
            processor = n / min(run["processor"] for run in told) / 1e6
            peak = max(int(run["peak"].split()[0]) for run in told) / 1e3
            print(f"  {who}: {rate:.0f} MB/s, {processor:.0f} MB a second of processor time, peak {peak:.0f} MB")
