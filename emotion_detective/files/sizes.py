"""Sizes of pictures within an area. Needs no torch, which a process that tries a video lacks."""

import math


def reduce(size: tuple[int, int], max_pixels: int) -> tuple[int, int]:
    """Return a size of the same shape with `max_pixels` at most; a smaller one as it is."""
    scale = math.sqrt(max_pixels / (size[0] * size[1]))
    if scale >= 1:
        return size
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
