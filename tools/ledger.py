#!/usr/bin/env python3
"""The requirement ledger: which row of `spec/` is enforced at which line and proved by which test.

duvet finds the citations; this program counts them by row and phase, holds `spec/LEDGER.md` to the count, and writes
citations for authors. How rows are cited stands in `spec/README.md`.

    tools/ledger.py                 print the ledger (`--json` for programs)
    tools/ledger.py --check         exit 1 if a MUST is half closed, a quote is wrong or spec/LEDGER.md is out of date
    tools/ledger.py --write         write spec/LEDGER.md
    tools/ledger.py cite AZR-03     print the lines that cite a row (`--test`: at its test)
    tools/ledger.py expand FILE...  turn comments like `// AZR-03` into citations, in place
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import textwrap
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

# rustfmt.toml, `max_width`.
WIDTH = 110

INSTALL = "duvet is not installed: cargo install --locked --debug duvet --version 0.4.3"

# The order in which a connection meets them; other phases follow by name.
PHASES = "NET CH PRM ASM REG AZQ AZR AS CON TOK USE STEP REF REV ERR".split()

ROW = re.compile(r"(?P<text>.*) \((?P<id>[A-Z]+-\d+), (?P<role>all|[USRBI](/[USRBI])*)(?P<derived>, derived)?\)\.")
ID = r"(?:req:|atk:)?[A-Z]+-\d+"
PLAIN = re.compile(rf"(?P<indent>\s*)// (?P<ids>{ID}(?:(?:,\s*|\s+){ID})*)(?:\.|:\s+(?P<rest>.*))?")


class Refused(Exception):
    """What stops the program, as a sentence for the person who ran it."""


@dataclass
class Row:
    """One requirement: its sentence in a page of `spec/` and what duvet found for it."""

    id: str
    role: str
    derived: bool
    target: str
    sentence: str
    cited: list[str] = field(default_factory=list)
    tested: list[str] = field(default_factory=list)
    excepted: str | None = None

    @property
    def phase(self):
        return self.id.split("-")[0]

    @property
    def strength(self):
        words = ("MUST", "SHOULD", "MAY")
        return next((word for word in words if re.search(rf"\b{word}\b", self.sentence)), "no strength")

    @property
    def missing(self):
        return [name for name, found in (("line", self.cited), ("test", self.tested)) if not found]

    @property
    def half_closed(self):
        return len(self.missing) == 1

    @property
    def open(self):
        return self.excepted is None and bool(self.missing)


def read_rows(root):
    """The rows of all pages that `.duvet/config.toml` names, by id."""
    config = tomllib.loads((root / ".duvet/config.toml").read_text())
    rows = {}
    for page in (specification["source"] for specification in config["specification"]):
        section = None
        for line in (root / page).read_text().splitlines():
            if line.startswith("#"):
                section = re.sub(r"[^a-z0-9]+", "-", line.lower()).strip("-")
            elif match := ROW.fullmatch(line):
                row = Row(match["id"], match["role"], bool(match["derived"]), f"{page}#{section}", line)
                if row.id in rows:
                    raise Refused(f"{row.id} stands twice: {rows[row.id].target} and {row.target}")
                rows[row.id] = row
    return rows


def run_duvet(root):
    """duvet's own view of the tree: its second JSON report."""
    if shutil.which("duvet") is None:
        raise Refused(INSTALL)
    # duvet writes one file per section and never removes one, so a renamed section would haunt the next run.
    shutil.rmtree(root / ".duvet/requirements", ignore_errors=True)
    report = root / ".duvet/reports/ledger.json"
    report.parent.mkdir(exist_ok=True)
    done = subprocess.run(["duvet", "report", "--json-v2", report], cwd=root, capture_output=True, text=True)
    if done.returncode != 0:
        raise Refused(f"duvet refuses the tree:\n{done.stdout}{done.stderr}".rstrip())
    return json.loads(report.read_text())


def quoted_text(root, file, line):
    """What the citation at `line` quotes, to the letter: duvet itself overlooks one wrong character."""
    text = (root / file).read_text()
    if file.endswith(".toml"):
        return " ".join(text.split())
    parts = []
    for comment in (line.strip() for line in text.splitlines()[line - 1 :]):
        if comment.startswith("//#"):
            parts += comment[3:].split()
        elif parts or not comment.startswith("//="):
            break
    return " ".join(parts)


def fill_in(root, rows, report):
    """Enters duvet's citations in `rows`; returns what is wrong with them."""
    problems = []
    by_sentence = {row.sentence: row for row in rows.values()}
    sources = {id: source for kind in report["sources"].values() for id, source in kind.items()}
    kinds = {key.rpartition("#")[2]: found for key, found in report["annotations"].items()}

    def text_at(place):
        contents = sources[place["src"]]["contents"].encode()
        return " ".join(contents[range["start"] : range["end"]].decode() for range in place["ranges"])

    known = {text_at(requirement["origin"]) for requirement in kinds["requirement"].values()}
    problems += [f"duvet finds a requirement that is no row: {text}" for text in sorted(known - by_sentence.keys())]
    problems += [f"duvet does not find {row.id} in {row.target}" for row in rows.values() if row.sentence not in known]

    for cite in kinds["cite"].values():
        file, line = sources[cite["source"]["src"]]["file_name"], cite["source"].get("line", 1)
        place, quote = f"{file}:{line}", quoted_text(root, file, line)
        row = by_sentence.get(text_at(cite["target"]))
        if row is None or (row.sentence not in quote if file.endswith(".toml") else row.sentence != quote):
            problems.append(f"{place} does not quote a whole row to the letter: {quote[:WIDTH]}")
        elif cite["type"] == "EXCEPTION":
            row.excepted = " ".join(cite.get("comment", "").split())
        elif cite["type"] == "TEST":
            row.tested.append(place)
        elif cite["type"] in ("CITATION", "IMPLICATION"):
            row.cited.append(place)
    for row in rows.values():
        row.cited.sort()
        row.tested.sort()
        if row.strength == "MUST" and row.half_closed:
            found = "a line but no test" if row.cited else "a test but no line"
            problems.append(f"{row.id} is half closed, it has {found}: {', '.join(row.cited + row.tested)}")
    return problems


def by_phase(rows):
    """The rows of each phase that has some, in the order of their numbers."""
    grouped = {phase: [] for phase in PHASES}
    for row in sorted(rows.values(), key=lambda row: (row.phase, int(row.id.split("-")[1]))):
        grouped.setdefault(row.phase, []).append(row)
    return {phase: group for phase, group in grouped.items() if group}


def counts(group):
    return {
        "rows": len(group),
        "covered": sum(bool(row.cited) for row in group),
        "tested": sum(bool(row.tested) for row in group),
        "excepted": sum(row.excepted is not None for row in group),
        "open": sum(row.open for row in group),
    }


def print_markdown(rows):
    """The ledger as `spec/LEDGER.md` holds it: without line numbers, so that moving code does not change it."""
    table = {phase: counts(group) for phase, group in by_phase(rows).items()} | {"**Total**": counts(rows.values())}
    everything = [row for group in by_phase(rows).values() for row in group]
    out = ["# Ledger", "", "Written by `tools/ledger.py --write`; how to read it: [README.md](README.md).", ""]
    out += ["| Phase | Rows | Covered | Tested | Excepted | Open |", "| --- | --- | --- | --- | --- | --- |"]
    out += [f"| {' | '.join([phase, *map(str, line.values())])} |" for phase, line in table.items()]
    out += ["", "## Excepted", ""]
    out += [f"- {row.id} {row.strength}: {row.excepted}" for row in everything if row.excepted is not None]
    out += ["", "## Open", ""]
    out += [
        f"- {row.id} {row.strength}, no {' and no '.join(row.missing)}: {ROW.fullmatch(row.sentence)['text']}."
        for row in everything
        if row.open
    ]
    return "\n".join(out).rstrip() + "\n"


def print_json(rows, problems):
    phases = {phase: counts(group) for phase, group in by_phase(rows).items()}
    listed = [
        vars(row) | {"phase": row.phase, "strength": row.strength, "half_closed": row.half_closed, "open": row.open}
        for row in rows.values()
    ]
    open_rows = [row.id for group in by_phase(rows).values() for row in group if row.open]
    total = counts(rows.values())
    return json.dumps(
        {"phases": phases, "total": total, "open": open_rows, "problems": problems, "rows": listed}, indent=2
    )


def citation(row, test=False, indent=""):
    """The comment lines that cite `row`; its tag stays on one line, so that it can be searched for."""
    text, bracket, tag = row.sentence.rpartition(" (")
    words = f"{text}{bracket}{tag.replace(' ', chr(0))}"
    quote = textwrap.wrap(words, WIDTH - len(f"{indent}//# "), break_long_words=False, break_on_hyphens=False)
    lines = [f"//= {row.target}"] + ["//= type=test"] * test + [f"//# {line.replace(chr(0), ' ')}" for line in quote]
    return [indent + line for line in lines]


def find_row(rows, id):
    return rows.get(id.removeprefix("req:"))


def is_test_file(file):
    return "tests" in file.parent.parts or re.search(r"(^|_)tests?$", file.stem) is not None


def in_test_module(lines):
    """For each line, whether it stands in a `#[cfg(test)] mod … { }`, as rustfmt lays it out."""
    indent, announced = None, False
    for line in lines:
        if indent is not None:
            if line == indent + "}":
                indent = None
        elif line.strip().startswith("#[cfg(test)]"):
            announced = True
        elif announced and (match := re.fullmatch(r"(\s*)(pub(\([^)]*\))? )?mod \w+ \{", line)):
            indent, announced = match[1], False
        elif not line.strip().startswith("#["):
            announced = False
        yield indent is not None


def expand(rows, text, test_file):
    """Turns plain comments that name rows into citations; returns the text, and by line what it left to the author."""
    out, left = [], {}
    lines = text.split("\n")
    for line, in_test in zip(lines, in_test_module(lines)):
        if match := PLAIN.fullmatch(line):
            ids = re.findall(ID, match["ids"])
            cited = [id for id in ids if find_row(rows, id)]
            unknown = [id for id in ids if id not in cited and not id.startswith("atk:")]
            for id in cited:
                out += citation(find_row(rows, id), test_file or in_test, match["indent"])
            others, rest = ", ".join(id for id in ids if id not in cited), match["rest"] or ""
            if cited:
                rest = rest if others else rest[:1].upper() + rest[1:]
                line = f"{match['indent']}// {': '.join(filter(None, [others, rest]))}" if others or rest else None
            if line is not None:
                out.append(line)
            if unknown:
                left[len(out)] = f"no row of the ledger: {', '.join(unknown)}"
            continue
        out.append(line)
        comment = line.partition("//")[2]
        if not comment.startswith(("=", "#")) and any(find_row(rows, id) for id in re.findall(rf"\b{ID}\b", comment)):
            left[len(out)] = "names a row, but not in a comment line of its own"
    return "\n".join(out), left


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=Path(__file__).resolve().parent.parent, help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true", help="print as JSON")
    parser.add_argument("--check", action="store_true", help="fail if the ledger is wrong or out of date")
    parser.add_argument("--write", action="store_true", help="write spec/LEDGER.md")
    commands = parser.add_subparsers(dest="command")
    command = commands.add_parser("cite", help="print the comment lines that cite a row")
    command.add_argument("ids", nargs="+", metavar="ROW")
    command.add_argument("--test", action="store_true", help="the form for a test")
    command = commands.add_parser("expand", help="turn plain comments into citations")
    command.add_argument("files", nargs="+", type=Path, metavar="FILE")
    options = parser.parse_args(arguments)
    try:
        return run(options)
    except Refused as refused:
        print(refused, file=sys.stderr)
        return 2


def run(options):
    root = options.root
    rows = read_rows(root)
    if options.command == "cite":
        for id in options.ids:
            if (row := find_row(rows, id)) is None:
                raise Refused(f"`{id}` is no row of the ledger")
            print("\n".join(citation(row, options.test)))
        return 0
    if options.command == "expand":
        for file in options.files:
            relative = file.resolve().relative_to(root.resolve())
            before = file.read_text()
            after, left = expand(rows, before, is_test_file(relative))
            if after != before:
                file.write_text(after)
            for line, why in left.items():
                print(f"{file}:{line}: left as it is: {why}", file=sys.stderr)
        return 0

    problems = fill_in(root, rows, run_duvet(root))
    ledger, text = root / "spec/LEDGER.md", print_markdown(rows)
    if options.write:
        ledger.write_text(text)
    elif not ledger.exists() or ledger.read_text() != text:
        problems.append("spec/LEDGER.md is out of date: tools/ledger.py --write")
    print(print_json(rows, problems) if options.json else text.rstrip())
    if not options.check:
        return 0
    for problem in problems:
        print(f"ledger: {problem}", file=sys.stderr)
    if not problems and not options.json:
        total = next(line for line in text.splitlines() if line.startswith("| **Total**")).split("|")
        _, _, count, covered, tested, excepted, still_open, _ = (cell.strip() for cell in total)
        print(f"\n{count} rows: {covered} covered, {tested} tested, {excepted} excepted, {still_open} open")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
