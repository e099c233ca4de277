"""A lesson in real JupyterLab and real Chromium, as a user opens it."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from textwrap import dedent

import nbformat
import numpy as np
import pytest
from PIL import Image
from test_explorers import KINDS

ROOT = Path(__file__).parent.parent
TORNADO = "{'websocket_max_message_size': 100000000}"  # as make lab has it
WIDGET = "application/vnd.jupyter.widget-view+json"
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()

sync_api = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium: apt-get install chromium, or name one in CHROMIUM"
)


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """JupyterLab on a copy of the notebooks, with settings of its own."""
    folder = tmp_path_factory.mktemp("lab")
    for name in ("notebooks", "data"):
        shutil.copytree(ROOT / name, folder / "root" / name)
    write(folder / "root" / "notebooks" / "explorers.ipynb", EVERY)
    write(folder / "root" / "notebooks" / "one.ipynb", ONE)
    settings = folder / "settings" / "@jupyterlab"
    for name, content in (
        ("apputils-extension/notification", '{"fetchNews":"false","checkForUpdates":false}'),
        ("notebook-extension/tracker", '{"windowingMode":"none"}'),  # every cell in the page
    ):
        path = settings / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = folder / "log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", "--allow-root", "--no-browser", "--ip=127.0.0.1",
             f"--port={port}", "--ServerApp.port_retries=0", "--IdentityProvider.token=t",
             f"--ServerApp.root_dir={folder / 'root'}", "--LabApp.expose_app_in_browser=True",
             f"--ServerApp.tornado_settings={TORNADO}"],
            env={**os.environ, "JUPYTER_CONFIG_DIR": str(folder / "config"),
                 "JUPYTER_DATA_DIR": str(folder / "data"),
                 "JUPYTER_RUNTIME_DIR": str(folder / "run"),
                 "JUPYTERLAB_SETTINGS_DIR": str(folder / "settings"),
                 "JUPYTERLAB_WORKSPACES_DIR": str(folder / "workspaces")},
            stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    for _ in range(300):
        try:
            urllib.request.urlopen(f"{url}/api/status?token=t", timeout=2)
            break
        except OSError:
            if process.poll() is not None:
                pytest.fail(log.read_text()[-2000:])
            time.sleep(0.2)
    yield url
    os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)


@pytest.fixture
def page(tmp_path):
    with sync_api.sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            str(tmp_path / "profile"), executable_path=CHROMIUM, headless=True, args=FLAGS,
            viewport={"width": 1200, "height": 1000},
        )  # fmt: skip
        yield context.pages[0]
        context.close()


def waits_for(page, explorer, do):
    """Does something; milliseconds until another picture of this explorer is on the screen."""
    page.evaluate(
        """explorer => {
            window.dgaMoved = null;
            let began = null;
            const start = () => began ??= performance.now();
            for (const kind of ['keydown', 'mousedown']) addEventListener(kind, start, true);
            const observer = new MutationObserver(async changes => {
                const image = changes.map(c => c.target).find(t => t.matches('.dga-picture'));
                if (!image) return;
                observer.disconnect();
                for (const kind of ['keydown', 'mousedown']) removeEventListener(kind, start, true);
                await image.decode().catch(() => 0);
                requestAnimationFrame(() => window.dgaMoved = performance.now() - began);
            });
            observer.observe(explorer, {subtree: true, attributes: true, attributeFilter: ['src']});
        }""",
        explorer.element_handle(),
    )
    do()
    page.wait_for_function("window.dgaMoved !== null", timeout=60_000)
    return page.evaluate("window.dgaMoved")


def press(page, explorer, control):
    """Moves one control by keyboard; milliseconds from the key to the picture on screen."""
    control.focus()
    if control.get_attribute("role") == "slider":
        last = control.get_attribute("aria-valuenow") == control.get_attribute("aria-valuemax")
        key = "ArrowLeft" if last else "ArrowRight"
    elif control.evaluate("e => e.tagName") == "SELECT":
        at, count = control.evaluate("e => [e.selectedIndex, e.options.length]")
        key = "ArrowDown" if at + 1 < count else "ArrowUp"
        if control.evaluate("e => e.options[0].text") == "predicted" and at == 0:
            # The first class offered is the predicted one once more.
            page.keyboard.press("ArrowDown")
    else:
        key = "ArrowUp"
    return waits_for(page, explorer, lambda: page.keyboard.press(key))


def settle(page, explorer):
    """Waits until the kernel has no more to do for it; the line of text."""
    line = explorer.locator("[role=status]")
    seen, since = None, time.monotonic()
    while time.monotonic() - since < 0.4:
        page.wait_for_timeout(50)
        text = line.inner_text()
        if text != seen or text == "Computing …":
            seen, since = text, time.monotonic()
    return seen


def explorers_of(page):
    """All that have something to show, by kind."""
    found = {}
    for explorer in page.locator(".dga-explorer").all():
        explorer.scroll_into_view_if_needed()
        kind = explorer.evaluate("e => [...e.classList].find(c => /^dga-(?!explorer)/.test(c))")
        explorer.locator("[role=status]").filter(
            has_not_text=re.compile("Computing|This appears")
        ).wait_for(timeout=90_000)
        found[kind] = explorer
    return found


CONTROLS = ".noUi-handle, select, input[type=number]"


def assert_named(explorer):
    """Names and values for screen readers; room for the fast sliders."""
    for handle in explorer.locator("[role=slider]").all():
        assert handle.get_attribute("aria-label") and handle.get_attribute("aria-valuetext")
    for control in explorer.locator("select").all():
        assert control.evaluate("e => e.labels.length && e.labels[0].innerText")
    for panel in explorer.locator(".dga-panel").all():
        assert panel.locator("img").get_attribute("alt").startswith(panel.locator("b").inner_text())
    width = explorer.bounding_box()["width"]
    for slider in explorer.locator(".widget-slider.dga-wide").all():
        assert slider.bounding_box()["width"] > 0.95 * width


def move_widgets(page, everything):
    """Every explorer in the page reacts to the keyboard; times in milliseconds by its kind."""
    times = {}
    for kind, explorer in explorers_of(page).items():
        assert explorer.locator(".dga-picture").evaluate_all(
            "all => all.length && all.every(i => i.complete && i.naturalWidth)"
        )
        assert_named(explorer)
        controls = explorer.locator(CONTROLS)
        line = settle(page, explorer)
        # Lists of pictures and networks come first, a kind's own controls last.
        count = controls.count()
        for k in range(count) if everything else [count - 1]:
            press(page, explorer, controls.nth(k))
            settle(page, explorer)
        assert explorer.locator("[role=status]").inner_text() != line, kind
        slider = explorer.locator(".noUi-handle").last if kind != "dga-method" else controls.last
        waited = []
        for _ in range(5):
            waited.append(press(page, explorer, slider))
            settle(page, explorer)
        times[kind] = sorted(waited)[2]
    return times


def pytest_generate_tests(metafunc):
    """One lesson and every kind of explorer; with --slow every lesson."""
    if "name" in metafunc.fixturenames:
        slow = metafunc.config.getoption("--slow")
        lessons = sorted(p.name for p in (ROOT / "notebooks").glob("*.ipynb"))
        metafunc.parametrize("name", ["explorers.ipynb", *(lessons if slow else lessons[:1])])


# A notebook with nothing but one explorer of every kind, of a drawn picture, and one in which a
# network fails.
EVERY = ["from dga.lessons import explorers"] + [
    f'explorers.{kind}(network="resnet", picture=4)' for kind in KINDS
]
ONE = [
    """
    import torch, dga
    from dga.lessons import explorers
    good = dga.load_model("resnet")
    class Bad(torch.nn.Module):
        classes, preprocess = good.classes, good.preprocess
        def forward(self, x):
            raise RuntimeError("a bug of yours")
    """,
    'explorers.explore_method("gi", networks={"good": good, "bad": Bad()})',
    'explorers.explore_path("resnet", picture=4)',
]


def write(path, cells):
    book = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(dedent(cell).strip()) for cell in cells],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}},
    )
    nbformat.write(book, path)


@pytest.fixture
def notebook(lab, page):
    """Opens one and runs all of its cells."""

    def run(name):
        page.goto(f"{lab}/lab/tree/notebooks/{name}?token=t&reset")
        page.wait_for_function("window.jupyterapp?.shell.currentWidget?.context", timeout=90_000)
        page.evaluate(
            "async () => { const w = jupyterapp.shell.currentWidget; await w.context.ready;"
            " await w.context.sessionContext.ready }"
        )
        page.evaluate("async () => await jupyterapp.commands.execute('notebook:run-all-cells')")

    yield run
    page.evaluate(
        "async () => await jupyterapp.shell.currentWidget.context.sessionContext.shutdown()"
    )


CELLS = "() => jupyterapp.shell.currentWidget.context.model.toJSON().cells"


def test_lesson_runs_in_the_browser(notebook, page, name, request):
    problems = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    notebook(name)
    cells = page.evaluate(CELLS)
    outputs = [o for cell in cells for o in cell.get("outputs", [])]
    assert outputs
    assert not [o for o in outputs if o["output_type"] == "error"]
    figures = [o for o in outputs if "image/png" in o.get("data", {})]
    shown = page.locator(".jp-RenderedImage img").count()
    assert shown == len(figures)
    views = [o for o in outputs if WIDGET in o.get("data", {})]
    assert page.locator(".dga-explorer").count() == len(views)
    times = move_widgets(page, request.config.getoption("--slow"))
    # Keys that change or delete a cell, unless they are kept away.
    for explorer in page.locator(".dga-explorer").all():
        explorer.locator(CONTROLS).last.focus()
        for key in ("r", "m", "d", "d"):
            page.keyboard.press(key)
    kept = page.evaluate(CELLS)
    assert [(c["cell_type"], c["source"]) for c in kept] == [
        (c["cell_type"], c["source"]) for c in cells
    ]
    print(name, {kind: f"{time:.0f} ms" for kind, time in times.items()})
    # Pictures in the text (markdown) are found beside the notebook.
    broken = page.evaluate(
        "() => [...document.querySelectorAll('.jp-RenderedMarkdown img')]"
        ".filter(i => i.complete && !i.naturalWidth).length"
    )
    assert broken == 0
    assert not problems
    if os.environ.get("DGA_SCREENSHOTS"):
        Path(os.environ["DGA_SCREENSHOTS"]).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=f"{os.environ['DGA_SCREENSHOTS']}/{name}.png")


def test_make_lab_starts_the_server_that_is_tested_here():
    recipe = (ROOT / "Makefile").read_text()
    assert f'--ServerApp.tornado_settings="{TORNADO}"' in recipe
    assert "--ServerApp.root_dir=" in recipe


def test_hands_and_ears(notebook, page, tmp_path):
    """Keyboard, names for screen readers, errors, uploads, and nothing that jumps."""
    page.set_viewport_size({"width": 1366, "height": 900})
    notebook("one.ipynb")
    method, path = explorers_of(page).values()
    line = method.locator("[role=status]")
    node = line.element_handle()

    # Keys that change or delete a cell, unless they are kept away.
    before = page.evaluate(CELLS)
    for explorer in (method, path):
        for control in explorer.locator(f"{CONTROLS}, button").all():
            for key in ("r", "m", "y", "d", "d", "x", "a", "Shift+M"):
                control.focus()
                page.keyboard.press(key)
    after = page.evaluate(CELLS)
    assert [c["cell_type"] for c in after] == [c["cell_type"] for c in before]
    assert [c["source"] for c in after] == [c["source"] for c in before]
    settle(page, method)
    method.locator("select").nth(0).select_option("0 cat, meadow")
    settle(page, method)
    assert "says cat" in line.inner_text()

    # Names, values, pictures in words, one line that is announced.
    for explorer in (method, path):
        for handle in explorer.locator("[role=slider]").all():
            assert handle.get_attribute("aria-label") == "Step"
            handle.focus()
            waits_for(page, explorer, lambda: page.keyboard.press("ArrowRight"))
            assert handle.get_attribute("aria-valuetext") == "2"
        for control in explorer.locator("select").all():
            assert control.evaluate("e => e.labels.length && e.labels[0].innerText")
        for panel in explorer.locator(".dga-panel").all():
            alt = panel.locator("img").get_attribute("alt")
            assert alt.startswith(panel.locator("b").inner_text())
    assert line.get_attribute("aria-live") == "polite"

    # An error is shown where everything else is said, and nothing moves.
    box = method.locator(".dga-panel").nth(1).bounding_box()
    height = method.bounding_box()["height"]
    method.locator("select").nth(1).select_option("bad")
    line.filter(has_text="Not possible here: RuntimeError a bug of yours").wait_for()
    assert method.locator(".dga-panel b").all_inner_texts() == ["…"] * 3
    assert method.locator(".dga-panel").nth(1).bounding_box() == box
    method.locator("select").nth(1).select_option("good")
    line.filter(has_text="says cat").wait_for()
    assert method.locator(".dga-panel").nth(1).bounding_box() == box
    assert method.bounding_box()["height"] == height

    # A photograph of 14 MB, the same one again, one of a name that is taken, a broken one.
    noise = np.random.default_rng(0).integers(0, 256, (2200, 2200, 3), np.uint8)
    large, broken = tmp_path / "large.png", tmp_path / "broken.jpg"
    Image.fromarray(noise).save(large, compress_level=0)
    assert large.stat().st_size > 14e6
    broken.write_bytes(b"no picture")
    for _ in range(2):
        with page.expect_file_chooser() as chooser:
            method.get_by_role("button", name="Own photo").click()
        chooser.value.set_files(large)
        page.wait_for_function(
            "e => e.selectedOptions[0].text === 'large.png'",
            arg=method.locator("select").nth(0).element_handle(), timeout=60_000,
        )  # fmt: skip
        settle(page, method)
        assert "The network says" in line.inner_text()
        method.locator("select").nth(0).select_option("0 cat, meadow")
        line.filter(has_text="says cat").wait_for()
    with page.expect_file_chooser() as chooser:
        method.get_by_role("button", name="Own photo").click()
    chooser.value.set_files(broken)
    line.filter(has_text="Not possible here: broken.jpg").wait_for()
    assert line.evaluate("(e, node) => e === node", node)  # not another one, which nobody hears

    # Every picture has its room on a wide, a narrow and a telephone's page.
    page.evaluate("jupyterapp.commands.execute('application:toggle-left-area')")
    for width, least in ((1366, 220), (900, 220), (390, 220)):
        page.set_viewport_size({"width": width, "height": 800})
        page.wait_for_timeout(500)
        for explorer in (method, path):
            outside = explorer.evaluate(
                """e => [...e.querySelectorAll('*')].filter(c => {
                    const right = c.getBoundingClientRect().right;
                    return right > e.getBoundingClientRect().right + 3;
                }).map(c => c.outerHTML.slice(0, 200))"""
            )
            assert not outside, width
            widths = explorer.locator(".dga-panel img").evaluate_all(
                "all => all.map(i => i.getBoundingClientRect().width)"
            )
            assert min(widths) >= least
