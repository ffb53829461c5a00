"""The rooms of the package import each other in one direction only; each says what it is for."""

import ast
from importlib import import_module
from pathlib import Path

import pytest
from small import ROOT

PACKAGE = ROOT / "emotion_detective"
# Names that the package itself has, for every room.
TOP = {"EMBEDDED", "HOME", "LABELS", "Label"}
# Rooms with doors: `core` takes of them what their `__init__` lists, and nothing from a module.
DOORS = ("files", "engines")
# What each room may import besides itself and the package's top.
MAY_IMPORT = {
    "files": set(),
    "engines": set(),
    "core": {"files", "engines"},
    "data": {"files", "core"},
    "evaluation": {"core"},
    "video": {"core", "files"},
    "bulk": {"core", "data", "files", "engines"},
    "training": {"data", "evaluation", "core"},
    "study": {"training", "data", "evaluation", "core"},
    "publish": {"evaluation", "core", "engines"},
    "page": {"video", "core", "files"},
}


def imported(path: Path) -> list[list[str]]:
    """Return the parts of each name that a file imports from the package, wherever in the file."""
    modules = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            modules += [f"{node.module}.{name.name}" for name in node.names]
        elif isinstance(node, ast.Import):
            modules += [name.name for name in node.names]
    parts = [module.split(".") for module in modules]
    inside = [names[1:] for names in parts if names[0] == PACKAGE.name and len(names) > 1]
    return [names for names in inside if names[0] not in TOP]


def test_every_folder_of_the_package_is_a_room():
    folders = {path.parent.name for path in PACKAGE.glob("*/*.py")}
    assert folders == set(MAY_IMPORT)
    assert sorted(path.name for path in PACKAGE.glob("*.py")) == ["__init__.py", "__main__.py"]


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_a_room_imports_only_what_lies_to_its_left(room):
    files = list((PACKAGE / room).glob("*.py"))
    assert len(files) > 1
    for path in files:
        assert {names[0] for names in imported(path)} <= MAY_IMPORT[room] | {room}, path.name


@pytest.mark.parametrize("room", DOORS)
def test_the_core_goes_through_doors(room):
    open_to_all = import_module(f"{PACKAGE.name}.{room}").__all__
    for path in (PACKAGE / "core").glob("*.py"):
        names = [parts[1:] for parts in imported(path) if parts[0] == room]
        assert all(name in [[door] for door in open_to_all] for name in names), path.name


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_a_room_says_what_it_owns_and_what_it_must_not_know(room):
    purpose = ast.get_docstring(ast.parse((PACKAGE / room / "__init__.py").read_text()))
    assert purpose and "must" in purpose


def test_nothing_is_imported_at_once_that_windows_lacks():
    lacking = {"resource", "fcntl", "pwd", "grp", "termios", "tty", "pty", "curses", "syslog"}
    for path in (*PACKAGE.rglob("*.py"), ROOT / "app.py", ROOT / "train_hub.py"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.Import):
                assert lacking.isdisjoint(name.name for name in node.names), path
            assert not (isinstance(node, ast.ImportFrom) and node.module in lacking), path
