"""Faces and model together: a picture goes in, one prediction a face comes out.

    detective = EmotionDetective.from_pretrained()  # or "user/repo", or a folder
    for prediction in detective.analyze("photo.jpg"):
        print(prediction.label, prediction.confidence)

Knows no Gradio and no training.
"""

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from itertools import islice
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import numpy as np
import torch
from PIL import Image
from tqdm.auto import tqdm

from emotion_detective import EMBEDDED, LABELS
from emotion_detective.core import faces
from emotion_detective.core.classifier import MAX_BATCH, Classifier
from emotion_detective.core.loading import load_classifier
from emotion_detective.engines import use_threads
from emotion_detective.files import Source, read_picture

logger = logging.getLogger(__name__)

# Pictures that are searched for faces at the same time: each takes 50 MB.
MAX_SEARCHES = 16


@dataclass(frozen=True, kw_only=True)
class Prediction(faces.Face):
    """A face and its emotion.

    `probabilities` are in the order of `LABELS`, `confidence` is the largest of them, `unsure` says
    that it is below the checkpoint's threshold.
    """

    label: str
    confidence: float
    unsure: bool
    probabilities: tuple[float, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain data with the names of the API's `faces`, and of rows as far as they go."""
        return {
            "box": list(self.box_xyxy),
            "detection": self.detection_probability,
            "label": self.label,
            "confidence": self.confidence,
            "unsure": self.unsure,
            "probabilities": dict(zip(LABELS, self.probabilities, strict=True)),
            "rotation": self.rotation_degrees,
            "landmarks": [list(point) for point in self.landmarks],
        }

    def crop(self, source: Source) -> Image.Image:
        """Return what the classifier saw of the picture that was analyzed: an upright square."""
        (crop,) = faces.crops(read_picture(source).picture, [self])
        return crop


@dataclass(frozen=True)
class Analyzed:
    """One picture of `analyze_many`: its predictions, or the `error` that says why it has none.

    `notice` says what of the picture could not be read, or "".
    """

    source: Source
    predictions: tuple[Prediction, ...] = ()
    notice: str = ""
    error: str = ""


# A picture's item, its faces and their crops.
_Searched = tuple[Analyzed, list[faces.Face], list[Image.Image]]


@dataclass(frozen=True)
class EmotionDetective:
    """Face detector and classifier, loaded once; every method may run in many threads at once.

    It can be pickled: another process loads it again from where it came, once. It works in a forked
    child of a process that has used it, unless it is on a GPU.
    """

    classifier: Classifier
    detector: faces.FaceDetector

    @classmethod
    def from_pretrained(
        cls,
        source: Path | str = EMBEDDED,
        revision: str | None = None,
        device: torch.device | str | None = None,
    ) -> "EmotionDetective":
        """Load a checkpoint of a folder or the Hub, or the one that comes with the package.

        `device` is a name that torch knows; without one, see `engines.claim_device`.
        """
        classifier = load_classifier(source, revision, device)
        return cls(classifier, faces.FaceDetector(device=classifier.device))

    def analyze(
        self, source: Source, whole_picture: bool = False, *, upright_only: bool = False
    ) -> list[Prediction]:
        """Return one prediction a face, largest face first; no face: [].

        `source` is a path, bytes, an open binary file, a PIL image, or a NumPy array of uint8, RGB
        `(H, W, 3)` or gray `(H, W)`. What a file that is cut short lacks is logged. With
        `whole_picture` the picture is read as one face, without looking for any: for pictures
        cropped to a face already, such as FER2013's. With `upright_only` a picture without an
        upright face is not looked at on its sides and its head, which takes three times as long.

        Raises:
            TypeError: none of these sources.
        """
        opened = read_picture(source)
        if opened.notice:
            logger.warning("%s", opened.notice)
        found = self.find(opened.picture, whole_picture, upright_only)
        return self.classify(opened.picture, found)

    def find(
        self, picture: Image.Image, whole_picture: bool = False, upright_only: bool = False
    ) -> list[faces.Face]:
        """Return the faces of an upright picture, largest first, as `analyze` looks for them."""
        return self.detector.find(picture, whole_picture, upright_only)

    def classify(self, picture: Image.Image, found: Sequence[faces.Face]) -> list[Prediction]:
        """Return one prediction for each face of an upright picture, classified in one batch."""
        rows = self.classifier.probabilities(faces.crops(picture, found))
        return self._predictions(found, rows)

    def analyze_many(
        self,
        sources: Iterable[Source],
        whole_picture: bool = False,
        *,
        batch_size: int = MAX_BATCH,
        progress: bool = False,
    ) -> Iterator[Analyzed]:
        """Yield what `analyze` finds in each of many pictures, in their order.

        Pictures are read and searched side by side, a few ahead of what is taken, and `batch_size`
        faces are classified at once. A picture that cannot be read is an item with an `error`.
        With `progress` tqdm shows a bar.
        """
        if batch_size < 1:
            raise ValueError(f"batch_size must be 1 or more, not {batch_size}.")
        count = len(sources) if hasattr(sources, "__len__") else None
        threads = min(torch.get_num_threads(), MAX_SEARCHES)
        search = partial(self._search, whole_picture=whole_picture)
        waiting: list[_Searched] = []
        with (
            tqdm(desc="Pictures", total=count, unit="", disable=not progress) as bar,
            # Each picture in one thread: there is always another for the next core.
            ThreadPoolExecutor(threads, "pictures", use_threads, (1,)) as pool,
        ):
            for searched in _in_order(pool, search, sources, ahead=2 * threads):
                waiting.append(searched)
                if sum(len(crops) for *_, crops in waiting) >= batch_size:
                    yield from self._classify_many(waiting)
                    waiting.clear()
                bar.update()
            yield from self._classify_many(waiting)

    def _search(self, source: Source, whole_picture: bool) -> _Searched:
        try:
            opened = read_picture(source)
        except (OSError, TypeError, ValueError) as error:
            return Analyzed(source, error=str(error)), [], []
        found = self.detector.find(opened.picture, whole_picture)
        return Analyzed(source, notice=opened.notice), found, faces.crops(opened.picture, found)

    def _classify_many(self, searched: list[_Searched]) -> Iterator[Analyzed]:
        every = [crop for *_, crops in searched for crop in crops]
        rows = iter(self.classifier.probabilities(every))
        for item, found, _ in searched:
            own = self._predictions(found, islice(rows, len(found)))
            yield replace(item, predictions=tuple(own))

    def __reduce__(self) -> tuple:
        one = self.classifier
        return _load_again, (type(self), one.source, one.revision, str(one.device))

    def _predictions(
        self, found: Sequence[faces.Face], rows: Iterable[np.ndarray]
    ) -> list[Prediction]:
        return [
            Prediction(
                **vars(face),
                label=LABELS[row.argmax()],
                confidence=float(row.max()),
                unsure=float(row.max()) < self.classifier.unsure_below,
                probabilities=tuple(row.tolist()),
            )
            for face, row in zip(found, rows, strict=True)
        ]


@lru_cache(1)
def _load_again(
    cls: type[EmotionDetective], source: str, revision: str | None, device: str
) -> EmotionDetective:
    """Return an unpickled detective: the one that this process has, where it comes again."""
    return cls.from_pretrained(source, revision, device)


P, R = ParamSpec("P"), TypeVar("R")


def _in_order(
    pool: ThreadPoolExecutor, function: Callable[[Source], R], sources: Iterable, ahead: int
) -> Iterator[R]:
    """Yield a function's results in order, computed in a pool, `ahead` of what is taken."""
    sources, running = iter(sources), deque()
    running.extend(pool.submit(function, source) for source in islice(sources, ahead))
    while running:
        yield running.popleft().result()
        running.extend(pool.submit(function, source) for source in islice(sources, 1))


_networks = ThreadPoolExecutor(1, "networks")


def compute(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Call a function that runs a network, in the thread for that; not from within that thread."""
    return _networks.submit(function, *args, **kwargs).result()


class ServedDetective(EmotionDetective):
    """An `EmotionDetective` for many visitors: its networks run in one thread, whoever asks.

    Pictures are read in the thread of who asks.
    """

    @classmethod
    def from_pretrained(cls, *arguments: Any, **options: Any) -> "ServedDetective":
        """Load a checkpoint, as `EmotionDetective.from_pretrained` does."""
        return compute(super().from_pretrained, *arguments, **options)

    def find(self, *arguments: Any, **options: Any) -> list[faces.Face]:
        """Return what `EmotionDetective.find` does."""
        return compute(super().find, *arguments, **options)

    def classify(self, *arguments: Any, **options: Any) -> list[Prediction]:
        """Return what `EmotionDetective.classify` does."""
        return compute(super().classify, *arguments, **options)
