"""MTCNN (Zhang et al. 2016, arXiv 1604.02878) with facenet-pytorch's weights: pixels -> face boxes.

The first network looks at a pyramid of ever smaller copies of the picture, the second and the third
at what the one before took for a face. The boxes are those of facenet-pytorch's `MTCNN.detect`
(`tests/engines/test_mtcnn.py`) in less time: the means of pixels that a level or a candidate
consists of come from one table of sums, all candidates at once, and the CPU's cores take levels and
batches of candidates side by side. The table and the networks are on the device, boxes on the CPU.
"""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from facenet_pytorch.models.mtcnn import ONet, PNet, RNet
from facenet_pytorch.models.utils.detect_face import (
    bbreg,
    generateBoundingBox,
    nms_numpy,
    rerec,
)
from torch import Tensor
from torchvision.ops import nms

from emotion_detective.engines.runtime import is_forked, use_threads

# Thresholds, overlaps and the pyramid's factor are facenet-pytorch's.
PROPOSED_FROM, REFINED_FROM, FACE_FROM = 0.6, 0.7, 0.7
LEVEL_OVERLAP, FACE_OVERLAP = 0.5, 0.7
PYRAMID_FACTOR = 0.709
# What the first network sees at once, in pixels of a level.
WINDOW_PX = 12
# Input side of the second and the third network, and candidates in a batch: what the layers make of
# more no longer fits into a CPU's caches, and a candidate takes two to three times as long.
REFINE_PX, REFINE_BATCH = 24, 64
OUTPUT_PX, OUTPUT_BATCH = 48, 16
# Half of the pyramid's pixels are in its first level: more workers would wait for that one.
MAX_WORKERS = 4


class Mtcnn:
    """The three networks on a device; `find` keeps no state and may run in many threads."""

    def __init__(self, min_face_px: int, device: torch.device) -> None:
        self._min_face_px = min_face_px
        self._device = device
        # channels_last: max pooling with few channels is three times faster on a CPU.
        self._propose, self._refine, self._output = (
            network().eval().float().to(device, memory_format=torch.channels_last)
            for network in (PNet, RNet, ONet)
        )
        self._process = os.getpid()
        threads = torch.get_num_threads()
        workers = min(threads, MAX_WORKERS) if device.type == "cpu" else 1
        self._pool = ThreadPoolExecutor(workers, "mtcnn", use_threads, (threads // workers,))

    def find(self, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the faces' `(N, 4)` boxes, `(N,)` probabilities and `(N, 5, 2)` landmarks.

        `pixels` are `(H, W, 3)` uint8 RGB; all that is returned is float32, and N may be 0. Boxes
        are left, top, right, bottom in pixels, may reach over the picture's edges, and come in no
        order. Landmarks are x, y of the eyes, the nose and the corners of the mouth, of each two
        the one further left in the picture first.
        """
        is_forked(self._process)
        with torch.inference_mode(), torch.autocast(self._device.type, enabled=False):
            return self._find(pixels)

    def _find(self, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        sums = torch.from_numpy(_sum_table(pixels)).to(self._device)
        boxes = rerec(self._proposals(sums))
        boxes, scores, shifts, _ = self._judge(
            self._refine, sums, boxes, REFINE_PX, REFINE_BATCH, REFINED_FROM
        )
        kept = nms(boxes, scores, FACE_OVERLAP)
        boxes = rerec(bbreg(boxes[kept], shifts[kept]))
        boxes, scores, shifts, landmarks = self._judge(
            self._output, sums, boxes, OUTPUT_PX, OUTPUT_BATCH, FACE_FROM
        )
        # The network places five x, then five y, in fractions of the box that it saw.
        size = (boxes[:, 2:] - boxes[:, :2] + 1)[:, None]
        landmarks = landmarks.unflatten(1, (2, 5)).mT * size + boxes[:, None, :2] - 1
        found = [part.numpy() for part in (bbreg(boxes, shifts), scores, landmarks)]
        if not len(boxes):
            return tuple(found)
        kept = nms_numpy(found[0], found[1], FACE_OVERLAP, "Min")  # of the smaller area
        return tuple(part[kept] for part in found)

    def _map(self, function: Callable, *arguments: Iterable) -> Iterable:
        """Return what `map` does, with calls side by side where torch may use several threads.

        Torch's own way, all threads for one layer after the other, takes 1.5 times as long here,
        and ten times where another program uses one of the cores: the other threads then wait for
        it in every layer, at full speed.
        """
        if torch.get_num_threads() == 1 or self._device.type != "cpu":
            return map(function, *arguments)
        return self._pool.map(function, *arguments)

    def _proposals(self, sums: Tensor) -> Tensor:
        """Return `(N, 4)` boxes where the first network sees faces in any level of the pyramid."""
        height, width = sums.shape[0] - 1, sums.shape[1] - 1
        picture = torch.tensor([[0, 0, width, height]], dtype=torch.int32, device=sums.device)
        scales, scale = [], WINDOW_PX / self._min_face_px
        while min(height, width) * scale >= WINDOW_PX:
            scales.append(scale)
            scale *= PYRAMID_FACTOR

        @torch.inference_mode()
        def propose(scale: float) -> Tensor:
            level = _shrunk(sums, picture, int(height * scale + 1), int(width * scale + 1))
            shifts, probabilities = self._propose(level)
            faces = probabilities[:, 1].cpu()
            windows, _ = generateBoundingBox(shifts.cpu(), faces, scale, PROPOSED_FROM)
            return windows[nms(windows[:, :4], windows[:, 4], LEVEL_OVERLAP)]

        windows = torch.cat([torch.zeros(0, 9, dtype=torch.float32), *self._map(propose, scales)])
        windows = windows[nms(windows[:, :4], windows[:, 4], FACE_OVERLAP)]
        size = (windows[:, 2:4] - windows[:, :2]).repeat(1, 2)
        return windows[:, :4] + windows[:, 5:] * size

    def _judge(
        self,
        network: PNet | RNet | ONet,
        sums: Tensor,
        boxes: Tensor,
        side: int,
        batch: int,
        threshold: float,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return those `(N, 4)` boxes that a network takes for faces, their probabilities, shifts,
        and what the last network returns besides: `(N, 10)` places of landmarks.

        The network sees each box as `side` pixels square, `batch` boxes at a time.
        """
        size = torch.tensor([sums.shape[1] - 1, sums.shape[0] - 1], dtype=torch.int32)
        # facenet-pytorch counts pixels from 1, and both ends in.
        pixels = boxes.int()
        pixels = torch.cat([pixels[:, :2].clamp(min=1) - 1, pixels[:, 2:].minimum(size)], dim=1)
        inside = (pixels[:, 2:] > pixels[:, :2]).all(dim=1)
        boxes, pixels = boxes[inside], pixels[inside].to(sums.device)
        if not len(boxes):
            nothing = torch.zeros(0, 10, dtype=torch.float32)
            return boxes, nothing[:, 0], nothing[:, :4], nothing
        look = torch.inference_mode()(lambda some: network(_shrunk(sums, some, side, side)))
        parts = self._map(look, pixels.split(batch))
        shifts, *others, chances = (torch.cat(part).cpu() for part in zip(*parts, strict=True))
        faces = chances[:, 1] > threshold
        landmarks = others[0] if others else torch.zeros(len(boxes), 10)
        return boxes[faces], chances[faces, 1], shifts[faces], landmarks[faces]


def _sum_table(pixels: np.ndarray) -> np.ndarray:
    """Return int32 `(H + 1, W + 1, 3)`: at [y, x], the sum of all pixels above and left of it.

    Where it wraps around, differences of fewer than eight million pixels stay exact.
    """
    sums = np.zeros((pixels.shape[0] + 1, pixels.shape[1] + 1, 3), np.int32)
    sums[1:, 1:] = pixels
    return sums.cumsum(0, out=sums).cumsum(1, out=sums)


def _shrunk(sums: Tensor, boxes: Tensor, height: int, width: int) -> Tensor:
    """Return the pixels in integer `(N, 4)` boxes as a network's input `(N, 3, height, width)`."""
    left, right = _edges(boxes[:, 0], boxes[:, 2], width)
    top, bottom = _edges(boxes[:, 1], boxes[:, 3], height)
    table = sums.view(-1, 3)

    def at(y: Tensor, x: Tensor) -> Tensor:
        places = (y * sums.shape[1])[:, :, None] + x[:, None, :]
        return table.index_select(0, places.view(-1)).view(*places.shape, 3)

    inside = at(bottom, right) - at(top, right) - at(bottom, left) + at(top, left)
    # From means between 0 and 255 to values between -1 and 1, as facenet-pytorch does it.
    weights = 0.0078125 / ((bottom - top)[:, :, None] * (right - left)[:, None, :]).float()
    return (inside * weights[..., None]).sub_(127.5 * 0.0078125).permute(0, 3, 1, 2)


def _edges(begin: Tensor, end: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return where each of `count` overlapping bins begins and ends, `(N, count)`, as
    `torch.nn.functional.interpolate(mode="area")` divides the pixels from `begin` to `end`."""
    step = torch.arange(count, dtype=torch.int32, device=begin.device)
    begin, length = begin[:, None], (end - begin)[:, None]
    return begin + step * length // count, begin + ((step + 1) * length + count - 1) // count
