"""The requirements resolve, name what the program imports, and make a wheel that answers."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from huggingface_hub import SpaceCard
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from small import ROOT

import train_hub
from emotion_detective import EmotionDetective, __main__
from emotion_detective.page import gradio_seam

REQUIREMENTS = ROOT / "requirements.txt"
PROGRAM = (ROOT / "app.py", ROOT / "train_hub.py", *ROOT.glob("emotion_detective/**/*.py"))


def required() -> dict[str, Requirement]:
    """Return what requirements.txt asks for, by name."""
    lines = (line.partition("#")[0].strip() for line in REQUIREMENTS.read_text().splitlines())
    parsed = [Requirement(line) for line in lines if line]
    return {canonicalize_name(each.name): each for each in parsed}


def imported(codes: list[str], anywhere: bool = True) -> set[str]:
    """Return the packages that some code imports, `anywhere` or at its top."""
    names = set()
    for tree in map(ast.parse, codes):
        for node in ast.walk(tree) if anywhere else tree.body:
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                names.add(node.module.partition(".")[0])
    names -= set(sys.stdlib_module_names) | {"app", "train_hub", "emotion_detective"}
    distributions = packages_distributions()
    # gradio pins the client that fits it.
    return {canonicalize_name(distributions[name][0]) for name in names} - {"gradio-client"}


def test_requirements_are_what_is_imported():
    snippets = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert imported([*(path.read_text() for path in PROGRAM), *snippets]) == set(required())


@pytest.mark.parametrize(
    ("sections", "rooms"),
    [
        (["light"], ["core", "files", "engines"]),
        (["light", "page"], ["video", "page", "../app.py"]),
        (["light", "training"], ["data", "bulk", "evaluation", "training", "study", "publish"]),
        (["light", "training"], ["../train_hub.py"]),
    ],
)
def test_each_section_has_what_its_rooms_import(sections, rooms):
    paths = [ROOT / "emotion_detective" / room for room in rooms]
    files = [file for path in paths for file in ([path] if path.is_file() else path.glob("*.py"))]
    parts = re.split(r"^# \[([\w, ]+)\].*$", REQUIREMENTS.read_text(), flags=re.MULTILINE)[1:]
    there = {
        canonicalize_name(Requirement(line).name)
        for names, text in zip(parts[::2], parts[1::2], strict=True)
        for line in text.splitlines()
        if set(sections) & set(names.split(", ")) and line and not line.startswith("#")
    }
    assert imported([file.read_text() for file in files], anywhere=False) <= there


@pytest.mark.slow
def test_the_wheel_answers_in_an_empty_environment(tmp_path):
    """Installed from what uv fetched for this one, so that nothing is fetched anew."""
    folders = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    if (uv := shutil.which("uv", path=folders)) is None:
        pytest.skip("uv is not installed")
    python = tmp_path / "env" / "bin" / "python"

    def run(*command: str | Path) -> subprocess.CompletedProcess:
        env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        return subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)

    for command in (
        ["build", "--wheel", "--offline", "--out-dir", tmp_path, ROOT],
        ["venv", "--python", sys.executable, tmp_path / "env"],
        ["pip", "install", "--offline", "--python", python],
    ):
        done = run(uv, *command, *(tmp_path.glob("*.whl") if command[0] == "pip" else ()))
        if "cache" in done.stderr and done.returncode:
            pytest.skip("uv did not install this environment: its cache lacks a package")
        assert done.returncode == 0, done.stderr
    program = python.with_name("emotion-detective")
    photo = ROOT / "examples" / "one_face.jpg"
    (row,) = json.loads(run(program, photo, "--json").stdout)
    (found,) = EmotionDetective.from_pretrained().analyze(photo)
    assert row["label"] == found.label
    assert row["box"] == pytest.approx(found.box_xyxy, abs=0.1)
    assert row["confidence"] == pytest.approx(found.confidence, abs=1e-4)
    (tmp_path / "broken.jpg").write_bytes(b"x")
    table = run(program, photo, "broken.jpg")
    assert table.returncode == 2
    assert table.stdout.splitlines()[0] == f"{photo}\t1\thappy {found.confidence:.0%}"
    assert "broken.jpg\t-\tThe file (1 bytes) is no picture" in table.stdout
    assert 'pip install "emotion-detective[page]"' in run(program, "page").stdout


def test_the_command_knows_the_commands_of_train_hub():
    listed = re.search(r"\{([\w,-]+)\}", train_hub._parser().format_help())[1]
    assert set(listed.split(",")) == set(__main__.TRAINING)


def test_every_requirement_has_a_lower_and_an_upper_bound():
    for requirement in required().values():
        operators = {clause.operator for clause in requirement.specifier}
        assert operators in ({">=", "<"}, {"=="}, {"~="}), str(requirement)


def test_gradio_is_pinned_to_the_minor_version_that_the_space_runs_and_the_page_was_seen_with():
    version = SpaceCard.load(ROOT / "README.md").data.to_dict()["sdk_version"]
    assert str(required()["gradio"].specifier) == f"~={version}"
    assert version.startswith(f"{gradio_seam.SEEN_WITH}.")


def test_pyproject_says_which_python_is_needed():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["requires-python"] == ">=3.11"
    assert "needs Python 3.11 or newer" in (ROOT / "README.md").read_text()


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
