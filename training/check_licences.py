#!/usr/bin/env python3
"""Fails unless every package that training reads is in the public domain or under a permissive licence.

Reads `packages.tsv` (SPDX expressions of `AND`, `OR` and `WITH`) and `sources.tsv`. Of `OR` one side has to be allowed, of
`AND` both. Packages that are only tested with may have any licence: nothing of them reaches the weights. `--notice` prints
the notice that goes with the weights; without it, that the notice in the repository is that text is checked too.
"""
import csv
import pathlib
import sys

HERE = pathlib.Path(__file__).parent
NOTICE = HERE.parent / "crates" / "blt-mini" / "NOTICE"
ALLOWED = set(
    "public-domain CC0-1.0 Unlicense MIT MIT-CMU MIT-Zsh ISC Apache-2.0 BSD-2-Clause BSD-3-Clause BSD-4-Clause BSL-1.0 PSF-2.0 "
    "PostgreSQL NTP curl Biopython Ruby WordNet-3.0 Unicode-3.0 Unicode-DFS-2016 CC-BY-4.0".split()
)
# Exceptions that only give further permissions.
EXCEPTIONS = {"LLVM-exception"}


def allows(expression):
    """Whether a licence expression permits what training needs."""
    if " OR " in expression:
        return any(allows(part) for part in expression.split(" OR "))
    if " AND " in expression:
        return all(allows(part) for part in expression.split(" AND "))
    licence, _, exception = expression.partition(" WITH ")
    return licence in ALLOWED and (not exception or exception in EXCEPTIONS)


def read(name):
    with open(HERE / name, newline="") as table:
        return list(csv.DictReader(table, delimiter="\t"))


def problems(packages, sources):
    licence = {(row["registry"], row["package"]): row for row in packages}
    for row in packages:
        if row["use"] == "train" and not allows(row["licence"]):
            yield f"{row['registry']} {row['package']}: `{row['licence']}` is not allowed"
    for row in sources:
        key = (row["registry"], row["package"])
        if row["registry"] == "generated":
            continue
        if key not in licence:
            yield f"{key}: a source without a package"
        elif (row["use"] == "train") != (licence[key]["use"] == "train"):
            yield f"{key}: a package is trained on or tested with, not both"


def notice(packages):
    lines = [
        "The weights of blt-mini were computed from the text of these packages. Each is in the public domain or under a",
        "licence that permits commercial redistribution of works made from it without copyleft. Registry, package, version,",
        "licence, and what was read where that is a part only:",
        "",
    ]
    for row in packages:
        if row["use"] == "train":
            line = f"{row['registry']} {row['package']} {row['version']}: {row['licence']}"
            lines.append(line + (f" ({row['note']})" if row["note"] else ""))
    return "\n".join(lines) + "\n"


def main():
    packages, sources = read("packages.tsv"), read("sources.tsv")
    if "--notice" in sys.argv:
        print(notice(packages), end="")
        return
    found = list(problems(packages, sources))
    if not NOTICE.exists() or NOTICE.read_text() != notice(packages):
        found.append(f"`{NOTICE}` is not what `--notice` prints")
    print("\n".join(found) or f"{sum(row['use'] == 'train' for row in packages)} packages, all allowed")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
