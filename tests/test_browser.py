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

import nbformat
import pytest
from test_explorers import KINDS

ROOT = Path(__file__).parent.parent
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
    write_explorers(folder / "root" / "notebooks" / "explorers.ipynb")
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
             f"--ServerApp.root_dir={folder / 'root'}", "--LabApp.expose_app_in_browser=True"],
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


def move_widgets(page, everything):
    """Every explorer in the page reacts to the keyboard; times in milliseconds by its kind."""
    times = {}
    for kind, explorer in explorers_of(page).items():
        assert explorer.locator(".dga-picture").evaluate_all(
            "all => all.length && all.every(i => i.complete && i.naturalWidth)"
        )
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


def write_explorers(path):
    """A notebook with nothing but one explorer of every kind, of a drawn picture."""
    book = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell("from dga.lessons import explorers")]
        + [
            nbformat.v4.new_code_cell(f'explorers.{kind}(network="resnet", picture=4)')
            for kind in KINDS
        ],
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
