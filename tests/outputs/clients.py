"""Reads what the writers of `blt-output` wrote with the libraries that users have: `clients.py DOCUMENTS OUTPUTS`.

DOCUMENTS are the files that were written, OUTPUTS what `sample_outputs` made of them. `cargo xtask clients` runs this.
"""

import importlib.util
import json
import sys
import types
import typing
from pathlib import Path

import datasets
import duckdb
import numpy as np
import pyarrow.parquet
import webdataset
import zstandard
from safetensors import safe_open
from safetensors.numpy import load_file

stand_ins = {}
if importlib.util.find_spec("torch") is None:
    # wids subclasses two of its classes and uses no more; it would be by far the largest package of these tests.
    stand_ins = {name: types.ModuleType(name) for name in ["torch", "torch.distributed", "torch.utils", "torch.utils.data"]}
    T = typing.TypeVar("T")
    for name in ["Dataset", "Sampler"]:
        setattr(stand_ins["torch.utils.data"], name, types.new_class(name, (typing.Generic[T],)))
    stand_ins["torch"].distributed = stand_ins["torch.distributed"]
    sys.modules |= stand_ins
import wids  # noqa: E402

for name in stand_ins:
    del sys.modules[name]

DTYPES = ["f32", "bf16", "f16", "int8"]


def documents(folder):
    """Bytes of every file by the id it was written under."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)).replace("/", "~"): path.read_bytes() for path in files}


def embeddings_of(sample):
    """Rows as float32, whatever they are stored as."""
    rows = np.asarray(sample["embeddings.npy"])
    if rows.dtype == np.uint16:  # bfloat16: the upper half of a float32
        return (rows.astype(np.uint32) << 16).view(np.float32)
    if rows.dtype == np.int8:
        return rows * np.asarray(sample["embedding_scales.npy"])[:, None]
    return rows.astype(np.float32)


def check_safetensors(folder, expected, exact):
    for key, content in expected.items():
        path = folder / f"{key}.safetensors"
        with safe_open(path, "numpy") as file:
            assert file.metadata()["total_bytes"] == str(len(content))
            names = set(file.keys())
        assert {"bytes", "patch_lengths", "entropies", "embeddings"} <= names
        if folder.parent.name == "bf16":
            continue  # NumPy has no such number; see the loader in examples/jax
        tensors = load_file(path)
        assert tensors["bytes"].tobytes() == content
        assert tensors["patch_lengths"].sum() == len(content)
        if exact is None:
            continue
        rows = tensors["embeddings"].astype(np.float32)
        if "embedding_scales" in tensors:
            rows *= tensors["embedding_scales"][:, None]
        np.testing.assert_allclose(rows, exact[key], atol=0.26)


def check_sample(sample, seen, expected, exact):
    key = json.loads(sample["json"])["id"] if isinstance(sample["json"], bytes) else sample["json"]["id"]
    content = bytes(sample["bytes.bin"]) if "bytes.bin" in sample else sample["bytes"]["bin"]
    assert content == expected[key], key
    assert np.asarray(sample["patch_lengths.npy"]).sum() == len(content)
    assert len(sample["entropies.npy"]) == len(content)
    np.testing.assert_allclose(embeddings_of(sample), exact[key], atol=0.26)
    assert key not in seen
    seen.add(key)


def check_webdataset(folder, expected, exact):
    for extension in ["tar", "tar.gz"]:
        urls = sorted(map(str, folder.glob(f"shard_*.{extension}")))
        assert len(urls) == 2
        seen = set()
        for sample in webdataset.WebDataset(urls, shardshuffle=False).decode():
            check_sample(sample, seen, expected, exact)
        assert seen == expected.keys()
    for packed in folder.glob("*.tar.zst"):
        plain = zstandard.ZstdDecompressor().stream_reader(packed.read_bytes()).read()
        assert plain == packed.with_suffix("").read_bytes()
    index = wids.ShardListDataset(str(folder / "index.json"), cache_dir=str(folder / "cache"), transformations=[])
    assert len(index) == len(expected)
    for position in [len(index) - 1, 0, len(index) // 2]:
        sample = index[position]
        key = json.load(sample[".json"])["id"]
        assert sample[".bytes.bin"].read() == expected[key]
    rows = datasets.load_dataset("webdataset", data_files=str(folder / "*.tar"), split="train", streaming=True)
    assert {row["json"]["id"] for row in rows} == expected.keys()


def check_parquet(folder, expected, exact, cache):
    rebuilt, rows_of = {}, {}
    for row in datasets.load_dataset(str(folder), split="train", cache_dir=str(cache)):
        assert row["part"] == len(rows_of.setdefault(row["id"], []))
        rebuilt[row["id"]] = rebuilt.get(row["id"], b"") + row["bytes"]
        assert sum(row["patch_lengths"]) == len(row["bytes"]) == len(row["entropies"])
        assert row["text"] is None or row["text"].encode() == row["bytes"]
        rows = np.asarray(row["embeddings"], np.float32).reshape(-1, exact[row["id"]].shape[1])
        assert len(rows) == len(row["patch_lengths"])
        if "embedding_scales" in row:
            rows = rows * np.asarray(row["embedding_scales"], np.float32)[:, None]
        rows_of[row["id"]].append(rows)
    assert rebuilt == expected
    assert any(len(rows) > 1 for rows in rows_of.values()), "no document had several rows"
    for key, rows in rows_of.items():
        if exact[key].size:
            np.testing.assert_allclose(np.concatenate(rows), exact[key], atol=0.26)

    files = str(folder / "data" / "*.parquet")
    query = "SELECT id, sum(octet_length(bytes)), sum(len(embeddings)), sum(list_sum(entropies)) FROM read_parquet(?) GROUP BY id"
    for key, n_bytes, n_rows, _ in duckdb.execute(query, [files]).fetchall():
        assert (n_bytes, n_rows) == (len(expected[key]), len(exact[key])), key
    table = pyarrow.parquet.read_table(folder / "data")
    assert sum(len(value.as_py()) for value in table["bytes"]) == sum(map(len, expected.values()))
    for path in (folder / "data").iterdir():
        file = pyarrow.parquet.ParquetFile(path)
        assert file.metadata.row_group(0).column(0).has_offset_index
    if folder.parent.name != "bf16":
        first = table.slice(0, 1).to_pylist()[0]
        scales = first.get("embedding_scales") or [1.0] * len(first["patch_lengths"])
        rows = np.asarray(first["embeddings"], np.float32) * np.asarray(scales, np.float32)[:, None]
        np.testing.assert_allclose(rows, exact[first["id"]][: len(rows)], atol=0.26)


def main(source, outputs):
    expected = documents(source)
    exact = {key: load_file(outputs / "f32" / "safetensors" / f"{key}.safetensors")["embeddings"] for key in expected}
    for dtype in DTYPES:
        check_safetensors(outputs / dtype / "safetensors", expected, exact)
        check_webdataset(outputs / dtype / "webdataset", expected, exact)
        check_parquet(outputs / dtype / "parquet", expected, exact, outputs / "cache")
        print(f"{dtype}: safetensors, webdataset, wids, datasets, DuckDB and pyarrow read all {len(expected)} documents")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
