"""The lessons as a website: built, its links followed, two pages in Chromium without a network."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from inspect import isroutine
from pathlib import Path
from urllib.parse import unquote, urldefrag

import badges
import pytest

import dga

ROOT = Path(__file__).parent.parent
PAGES = sorted(
    str(path.relative_to(ROOT / "notebooks").with_suffix(".html"))
    for kind in ("*.ipynb", "*.md", "api/*.md", "assignments/*.md", "assignments/student/*/*.ipynb")
    for path in (ROOT / "notebooks").glob(kind)
)
LESSONS = sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Built from a copy with badges, as for a release."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copytree(ROOT / "notebooks", folder / "notebooks")
    shutil.copy(ROOT / "README.md", folder)
    for name in ("data", "tests"):
        (folder / name).symlink_to(ROOT / name)
    badges.stamp(folder, "jane/dga", "v1.0")
    done = subprocess.run(
        [Path(sys.executable).with_name("jupyter-book"), "build", "notebooks",
         "--path-output", folder, "--warningiserror", "--keep-going"],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    return folder / "_build" / "html"


class Page(HTMLParser):
    def __init__(self, path):
        super().__init__()
        self.links, self.loaded, self.ids, self.pictures = [], [], set(), []
        self.feed(path.read_text())

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        if "id" in found:
            self.ids.add(found["id"])
        if tag == "a" and found.get("href"):
            self.links.append(found["href"])
        if tag in ("script", "img") and found.get("src"):
            self.loaded.append(found["src"])
        if tag == "link" and found.get("rel") != "canonical":
            self.loaded.append(found["href"])
        if tag == "img":
            self.pictures.append(found)


def test_every_lesson_is_there_with_navigation_and_every_internal_link_leads_somewhere(site):
    pages = {path: Page(path) for path in site.rglob("*.html") if "_static" not in path.parts}
    assert set(LESSONS) <= {path.stem for path in pages}
    followed = 0
    for path, page in pages.items():
        if path.stem in LESSONS:
            targets = {urldefrag(link)[0] for link in page.links}
            others = {f"{lesson}.html" for lesson in LESSONS if lesson != path.stem}
            assert others <= targets, "a lesson is missing in the navigation"
            opens = (
                f"https://colab.research.google.com/github/jane/dga/blob/v1.0/notebooks/{path.stem}"
            )
            assert f"{opens}.ipynb" in page.links
            for picture in page.pictures:
                assert picture.get("alt"), f"{path.name}: {picture['src']} without alt text"
            cells = json.loads((ROOT / "notebooks" / f"{path.stem}.ipynb").read_text())["cells"]
            explorers = sum("explorers.explore_" in "".join(cell["source"]) for cell in cells)
            stills = [p for p in page.pictures if p["alt"].startswith("An explorer as it starts")]
            assert len(stills) == explorers, path.name
        for link in page.links + page.loaded:
            address, anchor = urldefrag(link)
            if address.startswith(("http", "mailto:", "data:", "javascript:")):
                assert link in page.links, f"{path.name} loads {link}"
                continue
            target = path.parent / unquote(address.partition("?")[0]) if address else path
            assert target.exists(), f"{path.name}: {link}"
            if anchor and target in pages:
                assert unquote(anchor) in pages[target].ids, f"{path.name}: {link}"
            followed += 1
    assert followed > 500


def test_every_public_name_is_in_the_reference_and_nothing_private(site):
    described = {id_ for path in (site / "api").glob("*.html") for id_ in Page(path).ids}
    described = {id_ for id_ in described if id_.startswith("dga.")}
    public = [getattr(dga, name) for name in dga.__all__]
    names = {f"{p.__module__}.{p.__qualname__}" for p in public if hasattr(p, "__qualname__")}
    assert len(names) > 15 and names <= described, names - described
    measures = [n for n in dga.metrics.__all__ if isroutine(getattr(dga.metrics, n))]
    assert {f"dga.metrics.{name}" for name in measures} <= described
    for room in ("zoo", "lessons", "experiments"):
        page = Page(site / "api" / f"{room}.html")
        for path in (ROOT / "dga" / room).glob("[a-z]*.py"):
            module = f"dga.{room}.{path.stem}"
            assert f"module-{module}" in page.ids, f"add {module} to notebooks/api/{room}.md"
    assert not [name for name in described if "._" in name]
    shown = "".join(path.read_text() for path in (site / "api").glob("*.html"))
    assert "G*I" in shown and "\\*" not in shown, "an escaped star is seen"


@pytest.fixture(scope="module")
def address(site):
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=site))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture(scope="module")
def browser():
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if not chromium:
        pytest.skip("no Chromium: apt-get install chromium, or name one in CHROMIUM")
    sync_api = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.mark.parametrize("lesson", ["03_fullgrad", "04_contributor_masks"])
def test_page_in_chromium(browser, address, lesson):
    page = browser.new_page()
    problems = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda m: problems.append(m.text) if m.type == "error" else None)
    page.on("requestfailed", lambda request: problems.append(request.url))
    page.on(
        "request",
        lambda r: None if r.url.startswith((address, "data:")) else problems.append(r.url),
    )
    page.goto(f"{address}/{lesson}.html")
    page.wait_for_function("document.querySelectorAll('mjx-container').length > 20")
    page.wait_for_load_state("networkidle")
    assert page.locator("mjx-merror").count() == 0, "an equation that MathJax cannot read"
    assert page.evaluate("[...document.images].every(i => i.complete && i.naturalWidth)")
    assert not problems
    page.close()


# Texts, in all that can be opened, that stand out too little from the ground behind them.
FAINT = """() => {
    document.querySelectorAll('details').forEach(d => d.open = true);
    document.getAnimations().forEach(a => a.finish());
    const parse = c => [...c.match(/[\\d.]+/g).map(Number), 1].slice(0, 4);
    const over = (a, b) => [0, 1, 2].map(i => a[i] * a[3] + b[i] * (1 - a[3]));
    const light = c => [0.2126, 0.7152, 0.0722].reduce((sum, weight, i) => {
        const v = c[i] / 255;
        return sum + weight * (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    }, 0.05);
    const known = new Map([[null, {ground: [255, 255, 255], opacity: 1}]]);
    const colours = e => {
        if (!known.has(e)) {
            const style = getComputedStyle(e), behind = colours(e.parentElement);
            known.set(e, {ink: parse(style.color), opacity: behind.opacity * style.opacity,
                          ground: over(parse(style.backgroundColor), behind.ground)});
        }
        return known.get(e);
    };
    const faint = new Set(), texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
        const text = texts.currentNode.data.trim(), e = texts.currentNode.parentElement;
        if (!text || !e.checkVisibility({visibilityProperty: true})) continue;
        const {ink: [r, g, b, a], ground, opacity} = colours(e);
        const shades = [light(ground), light(over([r, g, b, a * opacity], ground))];
        if (Math.max(...shades) / Math.min(...shades) < 4.5) faint.add(e.className + ': ' + text);
    }
    return [...faint];
}"""


def test_on_a_phone_nothing_runs_out_of_the_page_or_fades_into_its_ground(browser, address):
    page = browser.new_page(viewport={"width": 390, "height": 844})
    for name in (*PAGES, "genindex.html", "search.html"):
        page.goto(f"{address}/{name}")
        assert page.evaluate("document.scrollingElement.scrollWidth") <= 390, name
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            page.wait_for_function("s => document.documentElement.dataset.theme === s", arg=scheme)
            assert not page.evaluate(FAINT), (name, scheme)
    page.close()


def test_every_focus_is_seen(browser, address):
    page = browser.new_page()
    page.goto(f"{address}/01_gradients.html")
    for _ in range(40):
        page.keyboard.press("Tab")
        unseen = page.evaluate("""() => {
            const e = document.activeElement, {outlineStyle, boxShadow} = getComputedStyle(e);
            return outlineStyle === 'none' && boxShadow === 'none' ? e.outerHTML : '';
        }""")
        assert not unseen
    page.close()


def test_search_finds_a_lesson(browser, address):
    page = browser.new_page()
    page.goto(f"{address}/search.html?q=saturation")
    page.wait_for_selector("#search-results li a")
    assert page.locator("#search-results li a").count() >= 1
    page.close()


@pytest.mark.parametrize("lesson", LESSONS)
def test_equations_fit_on_the_screen_and_on_paper(browser, address, lesson):
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(f"{address}/{lesson}.html")
    page.wait_for_function(
        "document.querySelector('mjx-container') && "
        "[...document.querySelectorAll('article mjx-container[display]')].every("
        "e => e.style.fontSize.startsWith('clamp'))"
    )
    for media, width in (("screen", 1280), ("print", 680)):  # 18 cm
        page.emulate_media(media=media)
        page.set_viewport_size({"width": width, "height": 900})
        cut = page.evaluate("""[...document.querySelectorAll('article div.math')].filter(e => {
            const edge = e.getBoundingClientRect();
            return [...e.querySelectorAll('mjx-c')].some(c => {
                const box = c.getBoundingClientRect();
                return box.left < edge.left - 1 || box.right > edge.right + 1;
            });
        }).map(e => e.textContent)""")
        assert not cut, media
    page.close()


def test_on_paper_nothing_is_cut_and_answers_are_open(browser, address):
    page = browser.new_page(viewport={"width": 700, "height": 1000})
    page.emulate_media(media="print")
    page.goto(f"{address}/04_contributor_masks.html")
    page.wait_for_load_state("networkidle")
    cut = page.evaluate(
        "[...document.querySelectorAll('pre, img')].filter(e => e.scrollWidth > e.clientWidth + 1"
        " || e.getBoundingClientRect().right > innerWidth + 1).length"
    )
    assert cut == 0
    hidden = page.evaluate(
        "[...document.querySelectorAll('article details')].filter("
        "d => d.clientHeight <= d.querySelector('summary').offsetHeight + 4).length"
    )
    assert page.locator("article details").count() and hidden == 0
    assert len(page.pdf(format="A4")) > 100_000
    page.close()
