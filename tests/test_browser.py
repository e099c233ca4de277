"""A lesson in real JupyterLab and real Chromium, as a user opens it."""

from __future__ import annotations

import os
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


def picture(explorer):
    return explorer.locator("img.dga-picture, .dga-picture img").first


def press(page, explorer, control):
    """Moves one control by keyboard; milliseconds from the last key to the picture on screen."""
    control.focus()
    page.evaluate(
        """image => {
            window.dgaMoved = null;
            let pressed;
            const key = () => pressed = performance.now();
            addEventListener('keydown', key, {capture: true});
            const observer = new MutationObserver(async () => {
                observer.disconnect();
                removeEventListener('keydown', key, {capture: true});
                await image.decode().catch(() => 0);
                requestAnimationFrame(() => window.dgaMoved = performance.now() - pressed);
            });
            observer.observe(image, {attributes: true, attributeFilter: ['src']});
        }""",
        picture(explorer).element_handle(),
    )
    if control.get_attribute("role") == "slider":
        last = control.get_attribute("aria-valuenow") == control.get_attribute("aria-valuemax")
        page.keyboard.press("ArrowLeft" if last else "ArrowRight")
    else:  # JupyterLab takes the arrow keys from a closed list; Space opens it
        at, texts = control.evaluate("e => [e.selectedIndex, [...e.options].map(o => o.text)]")
        # The first class offered is the predicted one once more.
        presses = 2 if texts[0] == "predicted" else 1
        arrow = "ArrowDown" if at + presses < len(texts) else "ArrowUp"
        for key in ("Space", *[arrow] * presses, "Enter"):
            page.keyboard.press(key)
            page.wait_for_timeout(100)
    page.wait_for_function("window.dgaMoved !== null", timeout=30_000)
    return page.evaluate("window.dgaMoved")


def move_widgets(page, everything):
    """Every explorer in the page reacts to the keyboard; times in milliseconds by its kind."""
    times = {}
    for explorer in page.locator(".dga-explorer").all():
        kind = explorer.evaluate("e => [...e.classList].find(c => /^dga-(?!explorer)/.test(c))")
        explorer.scroll_into_view_if_needed()
        assert picture(explorer).evaluate("i => i.complete && i.naturalWidth > 300")
        controls = explorer.locator(".noUi-handle, select")
        line = explorer.locator("[role=status]").inner_text()
        # Lists of pictures and networks come first, a kind's own controls last.
        count = controls.count()
        for k in range(count) if everything else [count - 1]:
            press(page, explorer, controls.nth(k))
        assert explorer.locator("[role=status]").inner_text() != line, kind
        times[kind] = sorted(press(page, explorer, controls.nth(count - 1)) for _ in range(5))[2]
    return times


def pytest_generate_tests(metafunc):
    """One lesson and every kind of explorer; with --slow every lesson."""
    if "name" in metafunc.fixturenames:
        slow = metafunc.config.getoption("--slow")
        lessons = sorted(p.name for p in (ROOT / "notebooks").glob("*.ipynb"))
        metafunc.parametrize("name", ["explorers.ipynb", *(lessons if slow else lessons[:1])])


def write_explorers(path):
    """A notebook with nothing but one explorer of every kind."""
    book = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell("from dga.lessons import explorers")]
        + [nbformat.v4.new_code_cell(f"explorers.{kind}()") for kind in KINDS],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}},
    )
    nbformat.write(book, path)


def test_lesson_runs_in_the_browser(lab, page, name, request):
    problems = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(f"{lab}/lab/tree/notebooks/{name}?token=t&reset")
    page.wait_for_function("window.jupyterapp?.shell.currentWidget?.context", timeout=90_000)
    page.evaluate(
        "async () => { const w = jupyterapp.shell.currentWidget; await w.context.ready;"
        " await w.context.sessionContext.ready }"
    )
    page.evaluate("async () => await jupyterapp.commands.execute('notebook:run-all-cells')")
    cells = page.evaluate("() => jupyterapp.shell.currentWidget.context.model.toJSON().cells")
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
    page.evaluate(
        "async () => await jupyterapp.shell.currentWidget.context.sessionContext.shutdown()"
    )
