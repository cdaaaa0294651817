#!/usr/bin/env python3
"""Trains the variants of `sweep.toml` for a few steps, all at once on one card: `sweep.py --corpus DIR/corpus --out OUT`.

Prints a line a variant: bits per byte of each test and their mean. Such short runs rank learning rates and shapes; they do
not say how good a long run becomes.
"""
import argparse
import json
import pathlib
import subprocess
import sys
import tomllib

HERE = pathlib.Path(__file__).parent


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", type=pathlib.Path, required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    arguments = parser.parse_args()
    plan = tomllib.loads((HERE / "sweep.toml").read_text())
    running = {}
    for name, changes in plan["variants"].items():
        out = arguments.out / name
        out.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, HERE / "train.py", HERE / "blt-mini.toml", "--corpus", arguments.corpus, "--out", out]
        with open(out / "stdout.txt", "w") as log:
            running[name] = subprocess.Popen(command + plan["common"] + changes, stdout=log, stderr=subprocess.STDOUT)
    for name, process in running.items():
        if process.wait() != 0:
            print(f"{name}: failed, see {arguments.out / name / 'stdout.txt'}", flush=True)
            continue
        figures = json.loads((arguments.out / name / "figures.json").read_text())["bf16"]
        bits = {test: value["bits"] for test, value in figures.items() if test.startswith("test.")}
        shown = ", ".join(f"{test.removeprefix('test.')} {value:.4f}" for test, value in bits.items())
        print(f"{name}: mean {sum(bits.values()) / len(bits):.4f}; {shown}", flush=True)


if __name__ == "__main__":
    main()
