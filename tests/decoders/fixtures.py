#!/usr/bin/env python3
"""Makes one small valid file of every format that is decoded, by programs and libraries that are not ours.

`fixtures.py OUT` writes `OUT/files/` and `OUT/expected.json`, which has the modality and the facts that hold by construction;
everything else is measured by `check.py` with independent readers. Ends with 1 when some file could not be made.
Reruns give the same bytes but for `encrypted.pdf` (random salts) and whatever depends on versions of programs.
"""

import argparse
import pathlib
import sys

import environment


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=pathlib.Path, help="folder to write")
    out = parser.parse_args().out
    environment.enter()
    environment.need("ffmpeg", "pdftoppm", "gcc", "ar", "7z", "cjxl", "lz4", "avifenc", "heif-enc", "x86_64-w64-mingw32-gcc")

    from makers import archives, binaries, documents, images, media, pdfs, texts
    from makers.fixtures_folder import Fixtures

    fixtures = Fixtures(out / "files")
    for maker in (texts, images, media, pdfs, binaries, archives, documents):
        maker.make(fixtures)
    fixtures.finish(out / "expected.json")
    print(f"{len(fixtures.expected)} files made")
    for name, reason in fixtures.failures.items():
        print(f"not made: {name}: {reason}")
    return 1 if fixtures.failures else 0


if __name__ == "__main__":
    sys.exit(main())
