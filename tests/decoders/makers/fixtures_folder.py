"""The folder that the makers write into, and what is expected of each file."""

import json
import pathlib

# A fixed time for formats that have one: 2024-01-02 03:04:06 UTC. Even seconds, since zip archives keep no others.
CLOCK = (2024, 1, 2, 3, 4, 6)
EPOCH = 1704164646


class Fixtures:
    """Collects files and facts. A maker that fails leaves its reason in `failures` and the others go on."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.expected = {}
        self.failures = {}

    def add(self, name, modality, check, make, **facts):
        """Makes `name` by `make`, which returns its bytes or writes the path that it is given. `check` names the comparison."""
        path = self.folder / name
        try:
            made = make(path)
            if isinstance(made, bytes):
                path.write_bytes(made)
            if not path.is_file():
                raise RuntimeError("nothing was written")
        except Exception as error:  # noqa: BLE001 - whatever a foreign writer raises is the reason to tell
            self.failures[name] = f"{type(error).__name__}: {error}"
            path.unlink(missing_ok=True)
            return
        self.expected[name] = {"modality": modality, "check": check, **facts}

    def finish(self, target):
        """Writes what is expected beside the folder, so that the folder holds fixtures only."""
        content = {"files": dict(sorted(self.expected.items())), "not_made": self.failures}
        target.write_text(json.dumps(content, indent=1, ensure_ascii=False, sort_keys=True) + "\n")
