"""Tests of tools/ledger.py against a small tree and the real duvet: python3 -m unittest tools/ledger_test.py"""

import contextlib
import io
import json
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import ledger

CONFIG = """
"$schema" = "https://awslabs.github.io/duvet/config/v0.4.json"
[[source]]
pattern = "core/**/*.rs"
[[specification]]
source = "spec/rfc9207.md"
[report.html]
enabled = false
"""
PAGE = """# RFC 9207

## 2.4

Source: <https://www.rfc-editor.org/rfc/rfc9207#section-2.4>

When the issuer advertises `iss` and a response carries none, the engine MUST refuse the response (AZR-03, U).
Also: the MCP page, table row 2.

Another sentence says what the engine SHOULD do with https://issuer.example/.well-known/x (AZR-10, U/S, derived).
"""
MUST = "When the issuer advertises `iss` and a response carries none, the engine MUST refuse the response (AZR-03, U)."
LINE = f"//= spec/rfc9207.md#2-4\n//# {MUST}\n"
TEST = f"//= spec/rfc9207.md#2-4\n//= type=test\n//# {MUST}\n"


class Tree(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = Path(folder.name)
        self.put(".duvet/config.toml", CONFIG)
        self.put("spec/rfc9207.md", PAGE)

    def put(self, file, text):
        (self.root / file).parent.mkdir(parents=True, exist_ok=True)
        (self.root / file).write_text(text)

    def run_ledger(self, *arguments):
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = ledger.main(["--root", str(self.root), *arguments])
        return code, out.getvalue(), err.getvalue()

    def check(self):
        self.run_ledger("--write")
        code, _, err = self.run_ledger("--check")
        return code, err

    def expand(self, file, text):
        self.put(file, text)
        _, _, err = self.run_ledger("expand", str(self.root / file))
        return (self.root / file).read_text(), err


class Rows(Tree):
    def test_a_row_has_its_id_role_strength_and_anchor_from_the_page(self):
        must, should = ledger.read_rows(self.root).values()
        self.assertEqual((must.id, must.role, must.strength, must.derived), ("AZR-03", "U", "MUST", False))
        self.assertEqual((should.id, should.role, should.strength, should.derived), ("AZR-10", "U/S", "SHOULD", True))
        self.assertEqual(must.target, "spec/rfc9207.md#2-4")

    def test_an_id_that_stands_twice_is_refused(self):
        self.put("spec/rfc9207.md", PAGE.replace("AZR-10, U/S", "AZR-03, U"))
        code, _, err = self.run_ledger()
        self.assertEqual(code, 2)
        self.assertIn("AZR-03 stands twice", err)

    def test_a_requirement_without_a_readable_tag_is_a_problem(self):
        self.put("spec/rfc9207.md", PAGE.replace("(AZR-03, U)", "(AZR-03 U)"))
        code, err = self.check()
        self.assertEqual(code, 1)
        self.assertIn("a requirement that is no row", err)

    def test_a_row_without_a_strength_word_is_a_problem(self):
        self.put("spec/rfc9207.md", PAGE.replace("SHOULD", "should"))
        code, err = self.check()
        self.assertEqual(code, 1)
        self.assertIn("duvet does not find AZR-10 in spec/rfc9207.md#2-4", err)

    def test_a_renamed_section_leaves_nothing_behind(self):
        self.assertEqual(self.check(), (0, ""))
        self.put("spec/rfc9207.md", PAGE.replace("## 2.4", "## 2.5"))
        self.assertEqual(self.check(), (0, ""))


class Check(Tree):
    def test_a_row_with_line_and_test_is_closed_and_the_other_stays_open(self):
        self.put("core/src/a.rs", LINE)
        self.put("core/tests/a.rs", TEST)
        self.assertEqual(self.check(), (0, ""))
        found = json.loads(self.run_ledger("--json")[1])
        self.assertEqual(found["open"], ["AZR-10"])
        self.assertEqual(found["phases"]["AZR"], {"rows": 2, "covered": 1, "tested": 1, "excepted": 0, "open": 1})
        self.assertEqual(found["rows"][0]["cited"], ["core/src/a.rs:1"])

    def test_a_must_row_with_a_line_but_no_test_fails(self):
        self.put("core/src/a.rs", LINE)
        code, err = self.check()
        self.assertEqual(code, 1)
        self.assertIn("AZR-03 is half closed, it has a line but no test: core/src/a.rs:1", err)

    def test_a_must_row_with_a_test_but_no_line_fails(self):
        self.put("core/tests/a.rs", TEST)
        code, err = self.check()
        self.assertEqual(code, 1)
        self.assertIn("AZR-03 is half closed, it has a test but no line: core/tests/a.rs:1", err)

    def test_a_should_row_may_be_half_closed(self):
        should = PAGE.splitlines()[-1]
        self.put("core/src/a.rs", f"//= spec/rfc9207.md#2-4\n//# {should}\n")
        self.assertEqual(self.check(), (0, ""))

    def test_a_quote_with_one_wrong_letter_fails(self):
        self.put("core/src/a.rs", LINE)
        self.put("core/tests/a.rs", TEST.replace("carries none", "carries nine"))
        code, err = self.check()
        self.assertEqual(code, 1)
        self.assertIn("core/tests/a.rs:1 does not quote a whole row to the letter", err)

    def test_a_quote_of_half_a_row_fails(self):
        self.put("core/src/a.rs", "//= spec/rfc9207.md#2-4\n//# the engine MUST refuse the response (AZR-03, U).\n")
        code, err = self.check()
        self.assertEqual(code, 1)
        self.assertIn("core/src/a.rs:1 does not quote a whole row to the letter", err)

    def test_a_section_that_does_not_exist_stops_the_program(self):
        self.put("core/src/a.rs", LINE.replace("#2-4", "#2-5"))
        code, _, err = self.run_ledger("--check")
        self.assertEqual(code, 2)
        self.assertIn("missing section", err)

    def test_an_exception_closes_a_row_and_shows_its_reason(self):
        quote, reason = f"quote = '''\n{MUST}\n'''", "reason = '''\nBecause\nof it.\n'''"
        self.put(".duvet/exceptions/a.toml", f"[[exception]]\ntarget = 'spec/rfc9207.md#2-4'\n{quote}\n{reason}\n")
        self.assertEqual(self.check(), (0, ""))
        text = self.run_ledger()[1]
        self.assertIn("- AZR-03 MUST: Because of it.", text)
        self.assertNotIn("- AZR-03 MUST, no line", text)

    def test_a_ledger_out_of_date_fails(self):
        self.check()
        self.put("core/src/a.rs", LINE)
        self.put("core/tests/a.rs", TEST)
        code, _, err = self.run_ledger("--check")
        self.assertEqual((code, err), (1, "ledger: spec/LEDGER.md is out of date: tools/ledger.py --write\n"))


class Authors(Tree):
    def test_cite_prints_lines_within_the_width_that_duvet_accepts(self):
        for id in ("AZR-03", "req:AZR-10"):
            line, test = self.run_ledger("cite", id)[1], self.run_ledger("cite", id, "--test")[1]
            self.assertTrue(all(len(part) <= ledger.WIDTH for part in test.splitlines()))
            self.put(f"core/src/{id[-2:]}.rs", line)
            self.put(f"core/tests/{id[-2:]}.rs", test)
        self.assertEqual(self.check(), (0, ""))
        self.assertEqual(json.loads(self.run_ledger("--json")[1])["open"], [])

    def test_expand_cites_in_the_form_of_the_place_and_keeps_what_is_not_a_row(self):
        before = """\
fn f() {
        // AZR-03, atk:MIX-02: what came late is dropped.
        // It stays so.
        g();
}
#[cfg(test)]
use x;
mod y {
    // req:AZR-03
}
#[cfg(test)]
#[rustfmt::skip]
mod tests {
    // AS-04
    fn t() {
    }
    // AZR-03
}
// AZR-03: said here
fn h() {} // AZR-03
"""
        quote = MUST.removesuffix(" (AZR-03, U).")
        line = ["//= spec/rfc9207.md#2-4", f"//# {quote}", "//# (AZR-03, U)."]
        test = [line[0], "//= type=test", *line[1:]]
        after = ["fn f() {", *("        " + part for part in line)]
        after += ["        // atk:MIX-02: what came late is dropped.", "        // It stays so.", "        g();", "}"]
        after += ["#[cfg(test)]", "use x;", "mod y {", *("    " + part for part in line), "}"]
        after += ["#[cfg(test)]", "#[rustfmt::skip]", "mod tests {", "    // AS-04", "    fn t() {", "    }"]
        after += [*("    " + part for part in test), "}"]
        after += [*line, "// Said here", "fn h() {} // AZR-03", ""]
        text, err = self.expand("core/src/a.rs", before)
        self.assertEqual(text.splitlines(), "\n".join(after).splitlines())
        self.assertIn(f"a.rs:{len(after) - 1}: left as it is: names a row", err)
        self.assertIn("left as it is: no row of the ledger: AS-04", err)
        self.assertEqual(self.expand("core/src/a.rs", text)[0], text)

    def test_expand_uses_the_test_form_in_test_files(self):
        for file in ("core/tests/a.rs", "core/src/flow/tests.rs"):
            text, _ = self.expand(file, "// AZR-03, AZR-10\nfn f() {}\n")
            self.assertEqual(text.count("//= type=test"), 2)


if __name__ == "__main__":
    unittest.main()
