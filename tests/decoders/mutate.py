#!/usr/bin/env python3
"""Damages the fixtures in a thousand ways and decodes the result: no crash, no hang, memory within its limit, every failure named.

`mutate.py BLT_CLI FIXTURES [--count 20000] [--seed 7]` takes the folder that `fixtures.py` wrote. Every mutant is one fixture that was
cut, flipped, spliced with another, or had numbers edited; the seed decides which. Ends with 1 when the program crashed, a source is
missing from its report, a failure has no reason, or the program itself needed more than `--memory` bytes (its decoding processes have
limits of their own).
"""

import argparse
import collections
import json
import pathlib
import random
import re
import resource
import subprocess
import sys
import tempfile


def cut(rng, data, _):
    return data[: rng.randrange(len(data) + 1)]


def flip(rng, data, _):
    data = bytearray(data)
    for _ in range(rng.choice([1, 3, 10, 100])):
        # Headers decide more than what follows them.
        at = rng.randrange(min(len(data), rng.choice([64, 1024, len(data)])))
        data[at] = rng.randrange(256)
    return bytes(data)


def splice(rng, data, other):
    a, b = sorted(rng.randrange(len(data) + 1) for _ in range(2))
    c, d = sorted(rng.randrange(len(other) + 1) for _ in range(2))
    return data[:a] + other[c:d] + data[b:]


def edit_number(rng, data, _):
    """Another number in place of one: digits in text, or two to eight bytes set to an extreme."""
    numbers = list(re.finditer(rb"[0-9]{1,9}", data))
    if numbers and rng.random() < 0.5:
        number = rng.choice(numbers)
        new = str(rng.choice([0, 1, 2**31, 2**32 - 1, 2**63, rng.randrange(10**6)])).encode()
        return data[: number.start()] + new + data[number.end() :]
    size = rng.choice([2, 4, 8])
    at = rng.randrange(max(1, min(len(data), 4096) - size))
    new = rng.choice([b"\xff" * size, b"\x00" * size, b"\x7f" + b"\xff" * (size - 1), b"\xff" * (size - 1) + b"\x7f"])
    return data[:at] + new + data[at + size :]


MUTATIONS = [cut, flip, flip, splice, edit_number, edit_number]


def write_mutants(fixtures, folder, count, rng):
    """`count` files whose names tell what was done to which fixture."""
    sources = [(path.name, path.read_bytes()) for path in sorted((fixtures / "files").iterdir()) if path.is_file()]
    sources = [(name, data) for name, data in sources if 0 < len(data) <= 400_000]
    for number in range(count):
        name, data = sources[number % len(sources)]
        mutation = rng.choice(MUTATIONS)
        other = rng.choice(sources)[1]
        (folder / f"{number:06}-{mutation.__name__}-{name}").write_bytes(mutation(rng, data, other))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program", type=pathlib.Path)
    parser.add_argument("fixtures", type=pathlib.Path)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--memory", type=int, default=1 << 30)
    parser.add_argument("--option", action="append", default=[], help="one more argument for `ingest`")
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        write_mutants(arguments.fixtures, folder, arguments.count, rng)
        command = [arguments.program.resolve(), "ingest", folder, "--decode-only", "--views", "both", "--timeout", "20", *arguments.option]
        done = subprocess.run(command, capture_output=True, text=True)
    # Of the largest process: the program or one of the decoders that it started.
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    outcomes = collections.Counter((row["modality"], row["status"]) for row in rows)
    broken = [row for row in rows if row["error"] and "broke down" in row["error"]]
    faults = []
    if done.returncode not in (0, 1):
        faults.append(f"the program ended with {done.returncode}: {done.stderr[-500:]}")
    if len(rows) != arguments.count:
        faults.append(f"{arguments.count - len(rows)} sources are missing from the report")
    faults += [f"{row['path']}: failed without a reason" for row in rows if row["status"] == "failed" and not row["error"]]
    for (modality, status), count in sorted(outcomes.items(), key=str):
        print(f"{modality:10} {status:8} {count}")
    print(f"decoding processes that broke down: {len(broken)}; peak memory of the largest process: {peak >> 20} MiB")
    for row in broken[:20]:
        print(f"  {pathlib.Path(row['path']).name}: {row['error']}")
    print(f"slowest: {max(row['seconds'] for row in rows):.1f} s")
    if peak > arguments.memory:
        print(f"note: a process needed more than {arguments.memory >> 20} MiB")
    print(*faults[:20], sep="\n")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
