"""Runs a script inside a virtual environment of its own, and runs other programs."""

import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
import venv

HERE = pathlib.Path(__file__).resolve().parent
FOLDER = HERE / ".venv"
REQUIREMENTS = HERE / "requirements.txt"


def enter():
    """Starts the calling script anew under the environment's Python, which is made when it is not there or out of date."""
    python = FOLDER / "bin/python"
    if pathlib.Path(sys.prefix) == FOLDER:
        return
    wanted = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()
    mark = FOLDER / "requirements.sha256"
    if not mark.exists() or mark.read_text() != wanted:
        venv.create(FOLDER, clear=True, symlinks=True, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "--requirement", REQUIREMENTS], check=True)
        mark.write_text(wanted)
    os.execv(python, [str(python), *sys.argv])


def need(*programs):
    """Ends with the names of the programs that are not installed, if there are any."""
    missing = [program for program in programs if not shutil.which(program)]
    if missing:
        sys.exit(f"not installed: {', '.join(missing)}")


def output(*command, **options):
    """What a program prints, as bytes. Fails with its last words."""
    done = subprocess.run([str(part) for part in command], capture_output=True, **options)
    if done.returncode != 0:
        words = done.stderr.decode(errors="replace").strip().splitlines()[-3:]
        raise RuntimeError(f"{command[0]} ended with {done.returncode}: {' | '.join(words)}")
    return done.stdout
