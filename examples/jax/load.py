"""Global JAX arrays from the shards of `ingest --num-shards`: every process reads only the rows its devices own.

    patches = load("out", NamedSharding(Mesh(jax.devices(), "data"), PartitionSpec("data")))
    patches["embeddings"]    # one array over all processes, [rows, D]; see "valid_rows" in manifest.json

Any number of processes and devices that divides the number of rows will do; it need not be that of the shards.
"""

import json
from pathlib import Path

import jax
import ml_dtypes
import numpy as np

DTYPES = {"F32": np.float32, "F16": np.float16, "BF16": ml_dtypes.bfloat16, "I32": np.int32, "I8": np.int8, "U8": np.uint8}


def tensor_in(path, name):
    """The tensor as it lies in a safetensors file, without reading it."""
    with open(path, "rb") as file:
        header_bytes = int.from_bytes(file.read(8), "little")
        entry = json.loads(file.read(header_bytes))[name]
    start, shape = 8 + header_bytes + entry["data_offsets"][0], tuple(entry["shape"])
    if 0 in shape:
        return np.empty(shape, DTYPES[entry["dtype"]])
    return np.memmap(path, DTYPES[entry["dtype"]], "r", start, shape)


def load(folder, sharding, names=None):
    """`names`, or all tensors of the manifest, laid out by `sharding`, whose first axis is the rows."""
    folder = Path(folder)
    manifest = json.loads((folder / "manifest.json").read_text())

    def rows(name, index):
        axis = "rows" if manifest["tensors"][name]["axis"] == "patches" else "bytes"
        start, end, _ = index[0].indices(manifest["tensors"][name]["global_shape"][0])
        pieces = []
        for shard in manifest["shards"]:
            first, last = shard[axis]
            if max(start, first) < min(end, last):
                tensor = tensor_in(folder / shard["file"], name)
                pieces.append(tensor[max(start, first) - first : min(end, last) - first])
        return np.concatenate(pieces)[(slice(None), *index[1:])]

    def array(name):
        shape = tuple(manifest["tensors"][name]["global_shape"])
        return jax.make_array_from_callback(shape, sharding, lambda index: rows(name, index))

    return {name: array(name) for name in names or manifest["tensors"]}
