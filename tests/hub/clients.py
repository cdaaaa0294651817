"""The Python clients and ours on one hub and one cache: `clients.py STUB FETCH FOLDER`.

STUB is the program of `blt-hub-stub`, FETCH the example of `blt-hf`, FOLDER is made anew. `cargo xtask clients` runs this. Each
client runs in a process of its own, as both read their settings once.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

CARD = "---\nlicense: mit\nconfigs:\n- config_name: default\n  data_files:\n  - split: train\n    path: data/train-*\n---\n# Data\n"
ROWS = [f"row {i}" for i in range(1000)]

# What the Python clients do with a hub, or with a cache alone when offline. Prints the paths of the model's files.
PYTHON = """
import json, sys
from huggingface_hub import HfApi, HfFileSystem, hf_hub_download, scan_cache_dir, snapshot_download
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError
offline = sys.argv[1] == "offline"
folder = snapshot_download("o/model")
data = snapshot_download("o/data", repo_type="dataset")
one = hf_hub_download("o/model", "model.safetensors")
assert one.startswith(folder), (one, folder)
try:
    hf_hub_download("o/model", "missing.txt")
    raise SystemExit("a missing file was found")
except (EntryNotFoundError, LocalEntryNotFoundError):
    pass
assert not scan_cache_dir().warnings, scan_cache_dir().warnings
if not offline:
    import datasets
    files = HfApi().list_repo_files("o/model")
    assert sorted(files) == sorted(["config.json", "model.safetensors", "deep/er/a b#c.txt"]), files
    infos = HfApi().get_paths_info("o/data", ["data/train-00000-of-00002.parquet"], repo_type="dataset")
    assert infos[0].lfs is not None and infos[0].size == infos[0].lfs.size
    with HfFileSystem().open("datasets/o/data/data/train-00001-of-00002.parquet", "rb") as file:
        assert file.read(4) == b"PAR1"
        file.seek(-4, 2)
        assert file.read() == b"PAR1"
    rows = [f"row {i}" for i in range(1000)]
    assert datasets.load_dataset("o/data", split="train")["text"][:] == rows
    assert [row["text"] for row in datasets.load_dataset("o/data", split="train", streaming=True)] == rows
print(json.dumps([folder, data]))
"""


def write_repositories(folder):
    model = folder / "models/o/model"
    (model / "deep/er").mkdir(parents=True)
    (model / "config.json").write_text("{}")
    (model / "model.safetensors").write_bytes(os.urandom(3_000_000))
    (model / "deep/er/a b#c.txt").write_text("odd")
    data = folder / "datasets/o/data"
    (data / "data").mkdir(parents=True)
    (data / "README.md").write_text(CARD)
    for i in range(2):
        table = pa.table({"text": ROWS[i * 500 : (i + 1) * 500]})
        pq.write_table(table, data / f"data/train-{i:05}-of-00002.parquet")


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def run(command, home, endpoint, offline):
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
    environment |= {"HF_HOME": str(home), "HF_ENDPOINT": endpoint, "HF_HUB_DISABLE_TELEMETRY": "1"}
    if offline:
        environment["HF_HUB_OFFLINE"] = "1"
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, timeout=300)
    assert done.returncode == 0, f"{command[0]} failed with HF_HOME={home}, offline={offline}"
    return done.stdout


def python(home, endpoint, expected, offline):
    """The Python clients find exactly what was served."""
    last = run([sys.executable, "-c", PYTHON, "offline" if offline else "online"], home, endpoint, offline).splitlines()[-1]
    for folder, served in zip(json.loads(last), expected):
        assert contents(Path(folder)) == served, folder


def ours(fetch, home, endpoint, expected, offline):
    """Our client does."""
    for repository, served in zip([["models", "o/model"], ["datasets", "o/data"]], expected):
        lines = run([fetch, *repository], home, endpoint, offline).splitlines()
        assert {path: Path(file).read_bytes() for path, file in (line.split("\t") for line in lines)} == served


def main():
    stub_program, fetch, folder = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    shutil.rmtree(folder, ignore_errors=True)
    write_repositories(folder / "served")
    expected = [contents(folder / "served/models/o/model"), contents(folder / "served/datasets/o/data")]
    of_python, of_ours = folder / "home-python", folder / "home-ours"
    with subprocess.Popen([stub_program, folder / "served"], stdout=subprocess.PIPE, text=True) as stub:
        try:
            endpoint = stub.stdout.readline().strip()
            python(of_python, endpoint, expected, offline=False)
            print("huggingface_hub and datasets read the stub")
            ours(fetch, of_ours, endpoint, expected, offline=False)
            ours(fetch, of_python, endpoint, expected, offline=False)
            python(of_ours, endpoint, expected, offline=False)
            print("each client goes on with the other's cache")
        finally:
            stub.terminate()
    python(of_ours, endpoint, expected, offline=True)
    print("huggingface_hub reads our cache, offline")
    ours(fetch, of_python, endpoint, expected, offline=True)
    ours(fetch, of_ours, endpoint, expected, offline=True)
    print("we read the cache that huggingface_hub made, offline")


if __name__ == "__main__":
    main()
