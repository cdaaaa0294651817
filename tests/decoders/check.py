#!/usr/bin/env python3
"""Compares what `blt-cli ingest` makes of the fixtures with what independent tools say of them.

`check.py BLT_CLI FIXTURES` takes the folder that `fixtures.py` wrote, ingests its files, and prints one row a comparison. Ends with 1
when one fails. Tolerances are in `expectations.py`, the other tools in `truth.py`.
"""

import argparse
import hashlib
import json
import pathlib
import sqlite3
import subprocess
import sys
import tempfile
import traceback

import environment
import expectations

MODEL = pathlib.Path(__file__).resolve().parents[2] / "crates/blt-testkit/golden/model-tiny"


def structure(case):
    """What holds of every file."""
    import checks

    content = case.path.read_bytes()
    faults = list(case.output.faults(content, hashlib.sha256(content).digest()))
    yield checks.Row("tiling, tensors, raw bytes", "no fault", f"{len(faults)}: {faults[0]}" if faults else "no fault", not faults)
    expected = case.facts["modality"]
    also = expectations.ALSO.get(case.facts["check"], set()) | expectations.ALSO.get(case.path.name, set())
    found = case.output.trunk["modality"]
    yield checks.Row("modality", " or ".join([expected, *sorted(also)]), found, found in {expected, *also})


def rows_of(case):
    """All comparisons of a file. What a comparison cannot read is a failure with its reason."""
    import checks

    for check in (structure, checks.CHECKS[case.facts["check"]]):
        try:
            yield from check(case)
        except Exception as error:  # noqa: BLE001 - a broken output may break any reader
            place = traceback.extract_tb(error.__traceback__)[-1]
            yield checks.Row(check.__name__, "readable", f"{type(error).__name__}: {error} ({place.name}:{place.lineno})", False)
    if case.output.problems and case.facts["check"] not in ("pdf", "raw"):
        yield checks.Row("problems", "none", case.output.problems[:2], False)


def read_outputs(folder):
    """{name of the source: its output}, and {name: why it failed} by the journal."""
    from outputs import Output

    found = {}
    for sidecar in sorted(folder.glob("*.hypergraph.db")):
        output = Output(sidecar)
        found[pathlib.PurePath(output.trunk["path"]).name] = output
    failed = {}
    if (folder / "manifest.db").exists():
        journal = sqlite3.connect(folder / "manifest.db")
        for source, status, error in journal.execute("SELECT source, status, error FROM source"):
            if status != "done":
                failed[pathlib.PurePath(source).name] = f"{status}: {error}"
        journal.close()
    return found, failed


def compare_all(fixtures, outputs):
    """Prints the table; the number of failures."""
    import checks

    files = json.loads((fixtures / "expected.json").read_text())["files"]
    found, failed = read_outputs(outputs)
    n_failures = n_rows = 0
    for name, facts in files.items():
        if name in found:
            rows = rows_of(checks.Case(fixtures / "files" / name, facts, found[name]))
        else:
            rows = [checks.Row("output", "one", failed.get(name, "none"), False)]
        for row in rows:
            n_rows += 1
            n_failures += not row.ok
            verdict = "ok" if row.ok else "FAIL"
            print(f"{verdict:5}{name:22} {row.what:32} {str(row.expected):28} {row.found}")
    print(f"\n{len(files)} files, {n_rows} comparisons, {n_failures} failures")
    return n_failures


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cli", help="the program blt-cli; `-` compares what is in --outputs already")
    parser.add_argument("fixtures", type=pathlib.Path, help="the folder that fixtures.py wrote")
    parser.add_argument("--outputs", type=pathlib.Path, help="where to keep the outputs [default: a temporary folder]")
    parser.add_argument("--option", action="append", default=[], help="one more argument of `ingest`, like --option=--threads=2")
    arguments = parser.parse_args()
    environment.enter()
    environment.need("ffmpeg", "ffprobe", "pdftotext", "readelf", "objdump", "ar", "unzip", "7z", "lz4", "djxl")
    with tempfile.TemporaryDirectory() as scratch:
        outputs = arguments.outputs or pathlib.Path(scratch)
        if arguments.cli != "-":
            command = [arguments.cli, "ingest", arguments.fixtures / "files", "-o", outputs, "--password", "secret"]
            # Everything that there is to see, films in their own size.
            command += ["--views", "both", "--text-views", "both", "--max-side", "4096"]
            # The smallest model and few patches: what is compared depends on neither.
            command += ["--model", MODEL, "--rule", "static", "--patch-size", "4096", "--embeddings", "none", *arguments.option]
            done = subprocess.run(command)
            if done.returncode not in (0, 1):  # 1: some inputs failed, which the table tells
                sys.exit(f"{arguments.cli} ended with {done.returncode}")
        return 1 if compare_all(arguments.fixtures, outputs) else 0


if __name__ == "__main__":
    sys.exit(main())
