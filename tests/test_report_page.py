#!/usr/bin/env python3
"""What `morbench report --html --md --tex --csv --jsonl` writes, on results with data for every plot and on the same with names
that try to act: the page parsed as HTML and, where Debian's chromium is installed, opened in it on a telephone and on a screen."""
import csv
import html.parser
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import browser  # noqa: E402
import report_runs  # noqa: E402

BINARY = pathlib.Path(os.environ.get("BINARY", HERE.parent / "build/release/morbench")).resolve()
FIGURES = {"answers", "accuracy", "batch", "threads", "depth", "profile", "layers", "roofline", "ablation", "machines", "curves", "training"}
VOID = {"meta", "link", "img", "br", "hr", "input"}


class Page(html.parser.HTMLParser):
    """The page as a list of (tag, attributes, where it is), with complaints about what a strict reader would not take."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.wrong, self.texts = [], [], [], []
        self.feed(text)
        self.close()
        if self.open:
            self.wrong.append(f"never closed: {self.open}")

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs), tuple(self.open)))
        if len(attrs) != len(dict(attrs)):
            self.wrong.append(f"an attribute twice: {tag} {attrs}")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs), tuple(self.open)))

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.wrong.append(f"</{tag}> closes nothing, at {self.getpos()}")

    def handle_data(self, data):
        self.texts.append(data)

    def all(self, tag):
        return [(a, where) for t, a, where in self.tags if t == tag]


def table(directory):
    return json.loads((directory / "table.json").read_text())["rows"]


def report(directory, *options):
    return subprocess.run([BINARY, "report", str(directory), *options], capture_output=True, text=True, errors="replace", check=False)


class Written(unittest.TestCase):
    """Everything that holds of both directories."""

    @classmethod
    def setUpClass(cls):
        cls.home = tempfile.TemporaryDirectory(prefix="morbench-page-")
        cls.dir, cls.answer = {}, {}
        for name in ("plain", "hostile"):
            cls.dir[name] = pathlib.Path(cls.home.name) / name
            report_runs.make(cls.dir[name], name == "hostile")
            cls.answer[name] = report(cls.dir[name], "--html", "--md", "--tex", "--csv", "--jsonl")
        if "cannot run gnuplot" in cls.answer["plain"].stderr:
            raise unittest.SkipTest("no gnuplot")
        cls.text = {name: (d / "report.html").read_text() for name, d in cls.dir.items()}
        cls.page = {name: Page(text) for name, text in cls.text.items()}

    @classmethod
    def tearDownClass(cls):
        cls.home.cleanup()

    def each(self):
        for name in self.dir:
            with self.subTest(name):
                yield name, self.dir[name], self.page[name]

    def test_report_succeeds_and_reads_every_run(self):
        for name, directory, _ in self.each():
            self.assertEqual(self.answer[name].returncode, 0, self.answer[name].stderr)
            self.assertEqual(len(table(directory)), sum(1 for _ in directory.rglob("run.json")))

    def test_the_page_is_well_formed_and_its_names_are_unique(self):
        for _, _, page in self.each():
            self.assertEqual(page.wrong, [])
            ids = [a["id"] for _, a, _ in page.tags if "id" in a]
            self.assertEqual(len(ids), len(set(ids)))
        self.assertTrue(Page("<p><b></p>").wrong, "the check lets bad markup pass")

    def test_every_link_leads_somewhere_in_the_page(self):
        for _, _, page in self.each():
            ids = {a["id"] for _, a, _ in page.tags if "id" in a}
            for attributes, _ in page.all("a") + page.all("use"):
                target = attributes.get("href", attributes.get("xlink:href", ""))
                self.assertTrue(target.startswith("#") and target[1:] in ids, target)

    def test_the_page_needs_nothing_else_and_runs_one_script_of_its_own(self):
        for name, _, page in self.each():
            self.assertEqual(len(page.all("script")), 1)
            for tag, attributes, _ in page.tags:
                for key, value in attributes.items():
                    self.assertFalse(key.startswith("on"), f"{tag} {key}")
                    if key in ("src", "data", "action", "srcset", "poster", "formaction"):
                        self.assertTrue(value.startswith("data:image/"), value[:60])
                    self.assertNotIn("javascript:", value or "")
            policy = next(a["content"] for a, _ in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy")
            self.assertIn("default-src 'none'", policy)
            self.assertNotIn("unsafe-inline'; script", policy.split("script-src")[1])
            self.assertNotIn("@import", self.text[name])
            for tag in ("iframe", "object", "embed", "form", "base", "input", "foreignObject"):
                self.assertEqual(page.all(tag), [], tag)

    def test_every_kind_of_figure_is_there_twice_with_title_and_description(self):
        for _, _, page in self.each():
            shown = {re.sub(r"_\d+$", "", a["id"][4:]) for a, _ in page.all("figure") if a.get("id", "").startswith("fig-")}
            self.assertEqual(shown, FIGURES)
            plots = [a for a, _ in page.all("svg") if a.get("role") == "img"]
            self.assertEqual(len(plots), 2 * len([a for a, _ in page.all("figure") if "id" in a]))
            ids = {a["id"]: t for t, a, _ in page.tags if "id" in a}
            for a in plots:
                title, text = a["aria-labelledby"].split()
                self.assertEqual((ids[title], ids[text]), ("title", "desc"))
            for a, _ in page.all("svg"):
                self.assertTrue(a.get("role") == "img" or a.get("aria-hidden") == "true")
            for a, _ in page.all("img"):
                self.assertTrue(a["alt"])

    def test_pictures_beside_a_run_are_embedded_and_what_is_no_picture_is_not(self):
        for _, _, page in self.each():
            sources = [a["src"][:30] for a, _ in page.all("img")]
            self.assertEqual(sorted(s.split(";")[0] for s in sources), ["data:image/png", "data:image/svg+xml"])

    def test_table_headings_have_a_scope_and_rows_name_runs_of_the_table(self):
        for _, directory, page in self.each():
            runs = {row["run"] for row in table(directory)}
            for a, _ in page.all("th"):
                self.assertIn(a.get("scope"), ("col", "row"))
            named = [a["data-run"] for _, a, _ in page.tags if "data-run" in a]
            self.assertTrue(set(named) <= runs and runs <= set(named))
            self.assertEqual(len(page.all("caption")), len(page.all("table")))

    def test_every_figure_names_its_runs_and_commands(self):
        for name, _, _ in self.each():
            for figure in re.findall(r'<figure id="fig-.*?</figure>', self.text[name], re.S):
                self.assertRegex(figure, r'Runs: <a href="#r\d+"><code>[0-9a-f]{16}</code></a>')
                self.assertIn('<code class="command">morbench report ', figure)
                self.assertRegex(figure, r'<code class="command">morbench (train|bench|eval) ')

    def test_the_answer_comes_first_and_says_what_to_doubt(self):
        text = self.text["plain"]
        self.assertLess(text.index('id="choice"'), text.index('id="figures"'))
        choice = text[text.index('id="choice"'):text.index('id="figures"')]
        for words in ("if accuracy counts most", "if cost counts", "mean of 3 seeds", "What to doubt", "intervals overlap", "Models without a known accuracy",
                      "These runs cannot say which to use", "INVALID"):
            self.assertIn(words, choice)
        self.assertRegex(choice, r"SMOKE</span> All times|SMOKE</span> \d+ of \d+ times")

    def test_points_above_the_ceilings_make_a_roofline_invalid(self):
        titles = re.findall(r'<figure id="fig-roofline[^"]*"><figcaption><h3>(.*?)</h3>', self.text["plain"])
        self.assertTrue(any(t.startswith("INVALID: Roofline") for t in titles) and any(t.startswith("Roofline") for t in titles), titles)
        self.assertIn("a point lies above the measured ceilings", self.text["plain"])

    def test_nothing_was_executed(self):
        for _, directory, _ in self.each():
            self.assertFalse((directory / "pwned").exists() or pathlib.Path("pwned").exists() or list(directory.rglob("pwned")))

    def test_hostile_names_are_shown_as_they_are_in_the_page(self):
        seen = "".join(self.page["hostile"].texts)
        self.assertIn("</script><script>window.pwned=1</script><img src=x onerror=window.pwned=2>", seen)
        self.assertNotIn("\x1b", self.text["hostile"])
        self.assertNotIn("\u202e", self.text["hostile"])
        self.assertNotIn("\x9b", self.text["hostile"])

    def test_scripts_of_plots_hold_no_backquote_and_no_name_in_double_quotes(self):
        for _, directory, _ in self.each():
            scripts = sorted((directory / "plots").glob("*.gp"))
            self.assertTrue(FIGURES <= {re.sub(r"_\d+$", "", s.stem) for s in scripts})
            for script in scripts:
                text = script.read_text()
                self.assertNotIn("`", text)
                self.assertIn("# run ", text)
                for line in text.split("\n"):
                    # outside single quotes nothing of a name stands: no call of system, no file
                    bare = re.sub(r"'[^']*'", "''", line).split("#")[0]
                    self.assertNotRegex(bare, r"system|pwned|\bload\b|set output|\"", line)

    def test_pictures_are_whole(self):
        for _, directory, _ in self.each():
            for script in (directory / "plots").glob("*.gp"):
                xml.etree.ElementTree.parse(script.with_suffix(".svg"))
                self.assertEqual(script.with_suffix(".png").read_bytes()[:8], b"\x89PNG\r\n\x1a\n")
                self.assertEqual(script.with_suffix(".pdf").read_bytes()[:5], b"%PDF-")

    def test_cells_of_csv_are_texts_and_lines_are_rows(self):
        for _, directory, _ in self.each():
            with open(directory / "table.csv", newline="") as file:
                rows = list(csv.reader(file))
            self.assertEqual({len(row) for row in rows}, {len(rows[0])})
            self.assertEqual(len(rows) - 1, len(table(directory)))
            for row in rows:
                for cell in row:
                    self.assertFalse(cell[:1] in "=@" and cell != "", cell)

    def test_json_lines_are_the_rows_of_the_table(self):
        for _, directory, _ in self.each():
            lines = (directory / "table.jsonl").read_text().split("\n")
            self.assertEqual(lines.pop(), "")
            self.assertEqual([json.loads(line) for line in lines], table(directory))

    def test_latex_and_markdown_hold_no_command_and_no_tag_of_a_name(self):
        tex, markdown = ((self.dir["hostile"] / f"table.{e}").read_text() for e in ("tex", "md"))
        body = "\n".join(line for line in tex.split("\n") if not line.startswith("%"))
        self.assertNotIn("\\input", body)
        self.assertNotRegex(body, r"(?<!\\)\$")
        self.assertNotRegex(markdown, r"(?<!\\)<(script|img|b)")
        self.assertNotRegex(markdown, r"(?<!\\)`")
        self.assertNotIn("\x1b", tex + markdown)

    @unittest.skipUnless(shutil.which("pdflatex"), "no pdflatex: tables are not set (apt-get install texlive-latex-recommended)")
    def test_latex_sets_the_tables(self):
        for name, directory, _ in self.each():
            with tempfile.TemporaryDirectory() as work:
                pathlib.Path(work, "t.tex").write_text(
                    "\\documentclass{article}\\usepackage[T1]{fontenc}\\usepackage{booktabs,textcomp}\\begin{document}\n"
                    + (directory / "table.tex").read_text() + "\\end{document}\n")
                done = subprocess.run(["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "t.tex"], cwd=work, capture_output=True,
                                      text=True, errors="replace", stdin=subprocess.DEVNULL, check=False)
                self.assertEqual(done.returncode, 0, done.stdout[-600:])

    def test_the_page_is_the_same_whenever_it_is_made(self):
        again = report(self.dir["plain"], "--html")
        self.assertEqual(again.returncode, 0)
        self.assertEqual((self.dir["plain"] / "report.html").read_text(), self.text["plain"])


@unittest.skipUnless(browser.find(), "no chromium: the page is not opened (apt-get install chromium)")
class Opened(Written):
    """The same directories in a browser."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.browser = browser.Browser().__enter__()

    @classmethod
    def tearDownClass(cls):
        cls.browser.__exit__()
        super().tearDownClass()

    def show(self, name, width, scheme="light"):
        self.browser.size(width, 844)
        self.browser.media(scheme)
        self.browser.open(self.dir[name] / "report.html")

    # what was checked once without a browser need not be again
    for _test in [t for t in vars(Written) if t.startswith("test_")]:
        locals()[_test] = None
    del _test

    def test_no_complaint_no_overflow_and_every_figure_seen_at_every_width(self):
        for name in self.dir:
            for width in (390, 768, 1280):
                with self.subTest(name=name, width=width):
                    self.show(name, width)
                    self.assertEqual(self.browser.complaints(), [])
                    self.assertEqual(self.browser.evaluate("document.documentElement.scrollWidth"), width)
                    seen = json.loads(self.browser.evaluate(
                        "JSON.stringify([...document.querySelectorAll('figure')].map(f => [...f.querySelectorAll('svg.plot, img')]"
                        ".filter(s => s.getBoundingClientRect().width > 100 && s.getBoundingClientRect().height > 20)"
                        ".map(s => s.getBoundingClientRect().width)))"))
                    self.assertGreaterEqual(len(seen), len(FIGURES))
                    for widths in seen:
                        self.assertEqual(len(widths), 1)
                        self.assertLessEqual(widths[0], width)
                    self.assertIsNone(self.browser.evaluate("window.pwned || null"))

    def test_the_checks_notice_a_page_that_complains_and_overflows(self):
        with tempfile.NamedTemporaryFile("w", suffix=".html") as page:
            page.write("<body style='width:2000px'><script>throw 1</script><img src='file:///nowhere.png'>")
            page.flush()
            self.browser.size(390, 844)
            self.browser.open(page.name)
            self.assertTrue(self.browser.complaints())
            self.assertGreater(self.browser.evaluate("document.documentElement.scrollWidth"), 390)

    def test_the_answer_is_on_the_first_screen(self):
        for width in (390, 1280):
            self.show("plain", width)
            bottom = self.browser.evaluate("document.querySelector('.card').getBoundingClientRect().bottom")
            self.assertLess(bottom, 844)

    def test_headings_sort_their_table_and_empty_cells_stay_last(self):
        self.show("plain", 1280)
        column = ("[...document.querySelectorAll('table.stack.sortable')][0].tBodies[0].rows")
        read = f"JSON.stringify([...{column}].map(r => r.cells[2].hasAttribute('data-v') ? +r.cells[2].getAttribute('data-v') : null))"
        click = "[...document.querySelectorAll('table.stack.sortable')][0].tHead.rows[0].cells[2].querySelector('button').click()"
        for sign in (1, -1):
            self.browser.evaluate(click)
            values = json.loads(self.browser.evaluate(read))
            known = [v for v in values if v is not None]
            self.assertGreater(len(set(known)), 1)
            self.assertEqual(known, sorted(known, reverse=sign < 0))
            self.assertEqual(values[:len(known)], known)

    def test_the_page_reads_without_its_script(self):
        self.browser.call("Emulation.setScriptExecutionDisabled", value=True)
        try:
            self.show("plain", 1280)
            self.assertEqual(self.browser.complaints(), [])
            self.assertEqual(self.browser.evaluate("document.querySelectorAll('thead button').length"), 0)
            self.assertGreater(self.browser.evaluate("document.querySelectorAll('table tbody tr').length"), 20)
        finally:
            self.browser.call("Emulation.setScriptExecutionDisabled", value=False)

    def test_text_stands_out_on_light_and_dark(self):
        """WCAG's contrast of every text that is seen, in the page and in its pictures: 4.5 at least."""
        contrast = """(() => {
          const lum = c => { const v = c.match(/[\\d.]+/g).map(Number).slice(0, 3).map(x => { x /= 255; return x <= .03928 ? x / 12.92 : ((x + .055) / 1.055) ** 2.4; });
                             return .2126 * v[0] + .7152 * v[1] + .0722 * v[2]; };
          const paper = e => { for (; e; e = e.parentElement) { const b = getComputedStyle(e).backgroundColor; if (!/, 0\\)$/.test(b) && b !== 'transparent') return b; } return 'rgb(255,255,255)'; };
          const worst = [];
          for (const e of document.querySelectorAll('p, td, th, li, dt, dd, a, code, summary, caption, h1, h2, h3, .badge, svg.plot text')) {
            const box = e.getBoundingClientRect(); if (!box.width || !e.textContent.trim()) continue;
            const svg = e.tagName === 'text', style = getComputedStyle(e);
            if (svg && e.closest('#fig-profile')) continue;   /* on bars, not on the page */
            const a = lum(svg ? style.fill : style.color), b = lum(paper(e));
            const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
            if (ratio < 4.5) worst.push(e.tagName + ' ' + e.className + ' ' + ratio.toFixed(2) + ' ' + e.textContent.trim().slice(0, 40));
          }
          return JSON.stringify(worst.slice(0, 5)); })()"""
        for scheme in ("light", "dark"):
            self.show("plain", 1280, scheme)
            self.assertEqual(json.loads(self.browser.evaluate(contrast)), [], scheme)
        self.browser.evaluate("document.querySelector('.answer').style.color = '#555'")
        self.assertNotEqual(json.loads(self.browser.evaluate(contrast)), [], "the check lets grey on black pass")

    def test_the_page_prints(self):
        self.show("plain", 1280)
        with tempfile.NamedTemporaryFile(suffix=".pdf") as file:
            self.browser.pdf(file.name)
            self.assertGreater(len(file.read()), 20000)


if __name__ == "__main__":
    if not BINARY.exists():
        print(f"{BINARY} is not built")
        sys.exit(77)
    unittest.main()
