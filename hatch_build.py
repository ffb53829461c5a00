"""The dependencies of the wheel: the sections of requirements.txt, so that each is named once."""

import re
from pathlib import Path

from hatchling.metadata.plugin.interface import MetadataHookInterface


class Sections(MetadataHookInterface):
    """Makes the section `[light]` the dependencies, and every other one an extra."""

    def update(self, metadata: dict) -> None:
        sections, names = {}, []
        for line in Path(self.root, "requirements.txt").read_text().splitlines():
            if heading := re.fullmatch(r"# \[([\w, ]+)\].*", line):
                names = heading[1].split(", ")
            elif line and not line.startswith("#"):
                for name in names:
                    sections.setdefault(name, []).append(line)
        metadata["dependencies"] = sections.pop("light")
        metadata["optional-dependencies"] = sections
