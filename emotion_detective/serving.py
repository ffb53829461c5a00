"""The detective of a server: many threads ask, and one thread runs the networks.

torch computes with OpenMP, which gives every thread that computes a team of its own, one member a
core. GNU's OpenMP keeps members awake between the layers of a network only while there are no more
of them than cores; with a second team they sleep and are woken for each layer, and one visitor's
answer takes up to twice as long. Nor do many visitors get more answers a second from several teams:
the cores are busy either way. So whatever makes a team happens in `_networks`, loading included;
decoding, drawing and all else stay with the thread that asks. Knows no Gradio.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ParamSpec, TypeVar

from PIL import Image

from emotion_detective.detective import EmotionDetective, Prediction

P, R = ParamSpec("P"), TypeVar("R")

_networks = ThreadPoolExecutor(1, "networks")


def compute(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Call a function that runs a network, in the thread for that; not from within that thread."""
    return _networks.submit(function, *args, **kwargs).result()


class ServedDetective(EmotionDetective):
    """An `EmotionDetective` whose networks run in one thread, whichever thread asks."""

    @classmethod
    def from_pretrained(cls, source: Path | str, revision: str | None = None) -> "ServedDetective":
        """Load a checkpoint, as `EmotionDetective.from_pretrained` does."""
        return compute(super().from_pretrained, source, revision)

    def read(self, picture: Image.Image, whole_picture: bool = False) -> list[Prediction]:
        """Return one prediction a face, as `EmotionDetective.read` does."""
        return compute(super().read, picture, whole_picture)
