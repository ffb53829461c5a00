"""The rooms of the package import each other in one direction only; each says what it is for."""

import ast
from pathlib import Path

import pytest
from small import ROOT

PACKAGE = ROOT / "emotion_detective"
# Names that the package itself has, for every room.
TOP = {"LABELS", "Label"}
# What each room may import besides itself and the package's top.
MAY_IMPORT = {
    "files": set(),
    "engines": set(),
    "core": {"files", "engines"},
    "data": {"files", "core", "evaluation"},
    "evaluation": {"core"},
    "video": {"core", "files"},
    "bulk": {"core", "data", "files", "engines"},
    "training": {"data", "evaluation", "core"},
    "study": {"training", "data", "evaluation", "core"},
    "publish": {"evaluation", "core"},
    "page": {"video", "core", "files"},
}


def imported_rooms(path: Path) -> set[str]:
    """Return the rooms that a file imports, wherever in it the import stands."""
    modules = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            modules += [f"{node.module}.{name.name}" for name in node.names]
        elif isinstance(node, ast.Import):
            modules += [name.name for name in node.names]
    parts = [module.split(".") for module in modules]
    inside = {names[1] for names in parts if names[0] == PACKAGE.name and len(names) > 1}
    return inside - TOP


def test_every_folder_of_the_package_is_a_room():
    folders = {path.parent.name for path in PACKAGE.glob("*/*.py")}
    assert folders == set(MAY_IMPORT)
    assert [path.name for path in PACKAGE.glob("*.py")] == ["__init__.py"]


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_a_room_imports_only_what_lies_to_its_left(room):
    files = list((PACKAGE / room).glob("*.py"))
    assert len(files) > 1
    for path in files:
        assert imported_rooms(path) <= MAY_IMPORT[room] | {room}, path.name


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_a_room_says_what_it_owns_and_what_it_must_not_know(room):
    purpose = ast.get_docstring(ast.parse((PACKAGE / room / "__init__.py").read_text()))
    assert purpose and "must" in purpose
