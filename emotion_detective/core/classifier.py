"""The classifier: face crops in, the probabilities of six labels out.

`loading.py` makes a `Classifier` from a checkpoint, which also says how pictures are prepared for
it. Knows no face detection, no files and no Gradio.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from timm.data import create_transform

from emotion_detective import LABELS
from emotion_detective.engines import CPU, forward_pass

# FER2013's training pixels have mean 0.508 and standard deviation 0.255. The same value stands for
# all three channels, or the luma could not be folded into the first convolution.
GRAY_MEAN = 0.5
GRAY_STD = 0.25
# Largest number of faces in one forward pass: beyond it a CPU is slower (benchmarks/throughput.py).
MAX_BATCH = 32


@dataclass(frozen=True)
class Classifier:
    """A loaded checkpoint, ready to classify.

    `source` is what it was loaded from: a Hub id, whose commit is `revision`, or a folder's path.
    `unsure_below` is the confidence under which a prediction is called unsure; `metrics` is the
    checkpoint's `metrics.json` ({} if it has none). `device` computes the probabilities; `network`
    itself stays in the CPU's memory.
    """

    network: torch.nn.Module
    data_config: dict
    source: str
    revision: str | None
    unsure_below: float
    metrics: dict
    device: torch.device = CPU

    @property
    def name(self) -> str:
        """Return the Hub id, or the folder's name."""
        return self.source if self.revision else Path(self.source).name

    @cached_property
    def logits(self) -> Callable[[torch.Tensor], torch.Tensor]:
        """Return a function of a batch that `preprocess` made: the network's `(N, 6)` logits."""
        return forward_pass(self.network, self.device)

    @cached_property
    def _transform(self) -> Callable[[Image.Image], torch.Tensor]:
        return create_transform(**self.data_config, is_training=False)

    def preprocess(self, pictures: Sequence[Image.Image]) -> torch.Tensor:
        """Return pictures of any size and mode as a normalised `(N, 3, S, S)` float32 batch."""
        # `convert` copies what is RGB already; of thirty large crops, half the time to shrink them.
        rgb = [p if p.mode == "RGB" else p.convert("RGB") for p in pictures]
        return torch.stack([self._transform(picture) for picture in rgb]).float()

    def probabilities(self, pictures: Sequence[Image.Image]) -> np.ndarray:
        """Return `(N, 6)` float32 probabilities in the order of `LABELS`; N may be 0."""
        batches = [pictures[i : i + MAX_BATCH] for i in range(0, len(pictures), MAX_BATCH)]
        logits = [self.logits(self.preprocess(batch)) for batch in batches]
        if not logits:
            return np.zeros((0, len(LABELS)), np.float32)
        return torch.cat(logits).softmax(dim=1).numpy()
