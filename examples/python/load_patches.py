"""Loads the outputs of `blt-cli ingest` with NumPy and SQLite, and nothing of blt-burn.

    pip install numpy safetensors
    python load_patches.py out
"""

import sqlite3
import sys
from pathlib import Path

from safetensors.numpy import load_file


def patches_of(path: Path) -> list[bytes]:
    """The patches of one source as byte strings, in order."""
    tensors = load_file(path)
    data, start, patches = tensors["bytes"].tobytes(), 0, []
    for length in tensors["patch_lengths"]:
        patches.append(data[start : start + int(length)])
        start += int(length)
    return patches


def main(out: Path) -> None:
    journal = sqlite3.connect(out / "manifest.db")
    for name, source in journal.execute("SELECT id, source FROM source WHERE status = 'done' ORDER BY id"):
        tensors = load_file(out / f"{name}.safetensors")
        graph = sqlite3.connect(out / f"{name}.hypergraph.db")
        top = graph.execute(
            "SELECT tensor_row, tensor_byte, byte_start, byte_end, prominence FROM v_leaf ORDER BY prominence DESC LIMIT 1"
        ).fetchone()
        patches = patches_of(out / f"{name}.safetensors")
        print(f"{source}: {tensors['embeddings'].shape[0]} patches of {tensors['embeddings'].shape[1]} dimensions")
        if top is not None:
            row, first, start, end, prominence = top
            assert bytes(tensors["bytes"][first : first + end - start]) == patches[row]
            print(f"  most prominent: {patches[row]!r} at {start}..{end} of its view, prominence {prominence:.1f}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
