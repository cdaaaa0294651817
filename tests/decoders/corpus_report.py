#!/usr/bin/env python3
"""Runs detection and decoding over the corpus and prints how they fare.

`corpus_report.py BLT_CLI DIR` reads `DIR/files.json` of `corpus.py`. Tables: detection against file extensions, outcomes by kind of
file, the slowest files, and the words of PDFs against pdftotext. Ends with 1 when the program itself crashed or lost a file.
"""

import argparse
import collections
import json
import pathlib
import subprocess
import sys
import tempfile
import time

import environment
import truths

BATCH = 200
# Words in an error that tell of a decoder that fell, rather than one that refused.
CRASH = ("panic", "crash", "signal", "abort", "overflow", "killed", "out of memory")


def batches(rows, size=BATCH):
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def run(command, limit=1800):
    try:
        return subprocess.run([str(part) for part in command], capture_output=True, timeout=limit)
    except subprocess.TimeoutExpired as expired:
        return subprocess.CompletedProcess(command, 124, expired.stdout or b"", f"not done after {limit} s".encode())


def last_words(done):
    lines = done.stderr.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else ""


def detect(cli, files, rows):
    """{path: what detection says} of all files."""
    found = {}
    for batch in batches(rows):
        done = run([cli, "formats", "--detect", *(files / row["path"] for row in batch), "--format", "json"])
        try:
            answers = json.loads(done.stdout)
        except ValueError:
            print(f"detection of {len(batch)} files ended with {done.returncode} and no answer: {last_words(done)}")
            continue
        found |= {answer["path"]: answer for answer in answers}
    return {row["path"]: found.get(str(files / row["path"])) for row in rows}


def report_detection(rows, found):
    tally = collections.defaultdict(lambda: [0, 0, 0])
    wrong = []
    for row in rows:
        is_text = truths.KINDS[row["extension"]].is_text
        answer = found[row["path"]] or {}
        modality, form = truths.judge(row["extension"], answer)
        for key in (("all text and code" if is_text else "all binary formats", ""), (is_text, row["extension"])):
            for place, value in enumerate((1, modality, form)):
                tally[key][place] += value
        if not (modality and form):
            wrong.append((row, answer))
    print("\n## Detection (the extension counts as the truth)\n\n| files | n | modality right | format right |\n| --- | --- | --- | --- |")
    for (group, name), (n, modality, form) in sorted(tally.items(), key=lambda item: (isinstance(item[0][0], bool), str(item[0]))):
        if not name or modality < n or form < n:
            print(f"| {name or group} | {n} | {modality / n:.1%} | {form / n:.1%} |")
    print(f"\nWrong, 40 of {len(wrong)}:")
    for row, answer in wrong[:40]:
        print(f"  {row['path']}: {answer.get('modality')}, {answer.get('format')}, {answer.get('media_type')}")


def decode(cli, files, rows, options):
    """({path: its line}, crashes of the program itself as (path or number of files, last words))."""
    lines, crashes = {}, []
    names = {str(files / row["path"]): row["path"] for row in rows}

    def attempt(paths):
        done = run([cli, "ingest", *paths, "--decode-only", *options])
        for line in done.stdout.decode(errors="replace").splitlines():
            try:
                answer = json.loads(line)
            except ValueError:
                continue
            lines[names.get(answer["path"], answer["path"])] = answer
        return done

    for batch in batches(list(names)):
        done = attempt(batch)
        missing = [path for path in batch if names[path] not in lines]
        if done.returncode not in (0, 1):
            crashes.append((f"{len(batch)} files, {len(missing)} of them without a line", f"ended with {done.returncode}: {last_words(done)}"))
        for path in missing:  # one at a time, to find the one at fault
            done = attempt([path])
            if names[path] not in lines:
                crashes.append((names[path], f"no line, ended with {done.returncode}: {last_words(done)}"))
    return lines, crashes


def report_outcomes(rows, lines, crashes):
    kinds = collections.defaultdict(collections.Counter)
    seconds = collections.Counter()
    for row in rows:
        line = lines.get(row["path"])
        error = ((line or {}).get("error") or "").lower()
        kind = kinds[row["modality"], row["extension"]]
        kind["n"] += 1
        kind["lost"] += line is None
        if line:
            kind[line["status"]] += 1
            kind["with problems"] += bool(line.get("problems"))
            kind["crashed"] += any(word in error for word in CRASH)
            seconds[row["modality"], row["extension"]] += line.get("seconds") or 0
    states = sorted({line["status"] for line in lines.values()})
    columns = ["n", *states, "with problems", "crashed", "lost"]
    print(f"\n## Decoding\n\n| kind | {' | '.join(columns)} | seconds |\n|{' --- |' * (len(columns) + 2)}")
    for (modality, name), kind in sorted(kinds.items()):
        print(f"| {modality} {name} | {' | '.join(str(kind[column]) for column in columns)} | {seconds[modality, name]:.2f} |")
    total = sum(kinds.values(), collections.Counter())
    print(f"| all | {' | '.join(str(total[column]) for column in columns)} | {sum(seconds.values()):.1f} |")
    failed = collections.Counter((line.get("error") or "")[:110] for line in lines.values() if line["status"] != "done")
    print("\nReasons of failure:")
    for reason, count in failed.most_common(25):
        print(f"  {count:4} {reason}")
    print("\nSlowest:")
    for path, line in sorted(lines.items(), key=lambda item: -(item[1].get("seconds") or 0))[:10]:
        print(f"  {line.get('seconds') or 0:8.2f} s  {path} ({line.get('n_units')} units)")
    print(f"\nCrashes of the program itself: {len(crashes)}")
    for what, reason in crashes[:40]:
        print(f"  {what}: {reason}")


def report_pdf(cli, files, rows, limit, options):
    """Word F1 of the text views against pdftotext, over the PDFs in which that finds at least 5 words."""
    import check
    import compare

    truth = {}
    for row in [row for row in rows if row["extension"] == "pdf"][:limit]:
        done = run(["pdftotext", files / row["path"], "-"], limit=60)
        text = done.stdout.decode(errors="replace")
        if done.returncode == 0 and len(compare.words(text)) >= 5:
            truth[row["path"]] = text
    scores, totals = {}, collections.Counter()
    with tempfile.TemporaryDirectory() as scratch:
        for number, (path, expected) in enumerate(sorted(truth.items())):
            # A folder each: files of the same name in different packages.
            out = pathlib.Path(scratch, str(number))
            run([cli, "ingest", files / path, "--views", "decoded", "--embeddings", "none", "-o", out, *options], limit=600)
            outputs = list(check.read_outputs(out)[0].values()) if out.exists() else []
            views = [(output, view) for output in outputs for view in output.named("text", embedded=False)]
            text = "\n".join(output.bytes_of(view).decode(errors="replace") for output, view in views)
            scores[path] = compare.f1(text, expected)
            found, wanted = collections.Counter(compare.words(text)), collections.Counter(compare.words(expected))
            totals += collections.Counter(common=sum((found & wanted).values()), found=sum(found.values()), wanted=sum(wanted.values()))
    if not scores:
        print("\n## PDF text\n\nno PDF with words")
        return
    precision, recall = totals["common"] / max(1, totals["found"]), totals["common"] / totals["wanted"]
    micro = 2 * precision * recall / max(1e-9, precision + recall)
    good, none = sum(score >= 0.9 for score in scores.values()), sum(score == 0 for score in scores.values())
    print(f"\n## PDF text against pdftotext ({len(scores)} files, {totals['wanted']} words)\n")
    print("| micro P | micro R | micro F1 | mean F1 a file | files F1 >= .9 | files F1 = 0 |\n| --- | --- | --- | --- | --- | --- |")
    print(f"| {precision:.4f} | {recall:.4f} | {micro:.4f} | {sum(scores.values()) / len(scores):.3f} | {good} | {none} |")
    for path, score in sorted(scores.items(), key=lambda item: item[1])[:15]:
        print(f"  {score:.3f}  {path}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cli", help="the program blt-cli")
    parser.add_argument("dir", type=pathlib.Path, help="the folder that corpus.py filled")
    parser.add_argument("--parts", nargs="+", choices=["detection", "decoding", "pdf"], default=["detection", "decoding", "pdf"])
    parser.add_argument("--pdfs", type=int, default=60, help="at most so many PDFs for the words [default: 60]")
    parser.add_argument("--option", action="append", default=[], help="one more argument of `ingest`, like --option=--threads=2")
    arguments = parser.parse_args()
    environment.enter()
    environment.need("pdftotext")
    rows = json.loads((arguments.dir / "files.json").read_text())
    files = (arguments.dir / "files").resolve()
    crashes = []
    begin = time.monotonic()
    if "detection" in arguments.parts:
        found = detect(arguments.cli, files, rows)
        print(f"{len(rows)} files detected in {time.monotonic() - begin:.1f} s")
        report_detection(rows, found)
    if "decoding" in arguments.parts:
        lines, crashes = decode(arguments.cli, files, rows, arguments.option)
        report_outcomes(rows, lines, crashes)
    if "pdf" in arguments.parts:
        report_pdf(arguments.cli, files, rows, arguments.pdfs, arguments.option)
    return 1 if crashes else 0


if __name__ == "__main__":
    sys.exit(main())
