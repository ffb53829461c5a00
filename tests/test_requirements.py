"""The requirements resolve, and name what the program imports and nothing else."""

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions

import pytest
from huggingface_hub import SpaceCard
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from small import ROOT

from emotion_detective.page import gradio_seam

REQUIREMENTS = ROOT / "requirements.txt"
PROGRAM = (ROOT / "app.py", ROOT / "train_hub.py", *ROOT.glob("emotion_detective/**/*.py"))
# What uv and pip say where they reach no index.
NO_NETWORK = r"error sending request|dns error|connection refused|NewConnectionError|timed out"


def required() -> dict[str, Requirement]:
    """Return what requirements.txt asks for, by name."""
    lines = (line.partition("#")[0].strip() for line in REQUIREMENTS.read_text().splitlines())
    parsed = [Requirement(line) for line in lines if line]
    return {canonicalize_name(each.name): each for each in parsed}


def imported_modules() -> set[str]:
    """Return the first names of all modules that the program or a snippet of the README imports."""
    snippets = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    names = set()
    for code in (*(path.read_text() for path in PROGRAM), *snippets):
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                names.add(node.module.partition(".")[0])
    return names - set(sys.stdlib_module_names) - {"app", "train_hub", "emotion_detective"}


def test_requirements_are_what_is_imported():
    distributions = packages_distributions()
    imported = {canonicalize_name(distributions[name][0]) for name in imported_modules()}
    # gradio and datasets pin the versions that fit them.
    comes_with = {"gradio-client"}
    assert imported - comes_with == set(required())


def test_every_requirement_has_a_lower_and_an_upper_bound():
    for requirement in required().values():
        operators = {clause.operator for clause in requirement.specifier}
        assert operators in ({">=", "<"}, {"=="}, {"~="}), str(requirement)


def test_gradio_is_pinned_to_the_minor_version_that_the_space_runs_and_the_page_was_seen_with():
    version = SpaceCard.load(ROOT / "README.md").data.to_dict()["sdk_version"]
    assert str(required()["gradio"].specifier) == f"~={version}"
    assert version.startswith(f"{gradio_seam.SEEN_WITH}.")


def test_requirements_resolve_for_the_python_of_the_space(tmp_path):
    python = str(SpaceCard.load(ROOT / "README.md").data.to_dict()["python_version"])
    resolved = tmp_path / "resolved.txt"
    run = subprocess.run(
        [*resolver(python), str(REQUIREMENTS), "--output-file", str(resolved)],
        capture_output=True,
        text=True,
    )
    if re.search(NO_NETWORK, run.stderr, re.IGNORECASE):
        pytest.skip("the package index cannot be reached")
    assert run.returncode == 0, run.stderr
    pins = re.findall(r"^([\w.-]+)==([\w.+-]+)", resolved.read_text(), re.MULTILINE)
    versions = {canonicalize_name(name): version for name, version in pins}
    for name, requirement in required().items():
        assert requirement.specifier.contains(versions[name]), requirement


def test_pyproject_says_which_python_is_needed():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["requires-python"] == ">=3.11"
    assert "needs Python 3.11 or newer" in (ROOT / "README.md").read_text()


def resolver(python: str) -> list[str]:
    """Return the command that resolves for a Linux machine with this Python."""
    if (uv := shutil.which("uv")) is None:
        pytest.skip("uv is not installed")
    return [
        uv,
        "pip",
        "compile",
        "--quiet",
        "--python-version",
        python,
        "--python-platform",
        "linux",
    ]


@pytest.mark.parametrize("name", ["app.py", "train_hub.py"])
def test_an_older_python_is_refused_in_one_line(name):
    code = (ROOT / name).read_text()
    ast.parse(code, feature_version=(3, 8))  # an older one reads all of it before the first line
    run = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.version_info = (3, 9, 1, 'final', 0)\n{code}"],
        capture_output=True,
        text=True,
    )
    said = r"Emotion Detective needs Python 3\.11 or newer; this is [\d.]+\.\n"
    assert run.returncode == 1
    assert re.fullmatch(said, run.stderr)
