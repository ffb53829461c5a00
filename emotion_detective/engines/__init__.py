"""The arithmetic behind the core: `Mtcnn.find` takes pixels and returns the boxes of faces,
`forward_pass` takes a network and returns what computes it fastest on a device.

The room must import no other: it knows no pictures as files, no labels and no checkpoint.
"""

from emotion_detective.engines.runtime import (
    CPU,
    claim_device,
    forward_pass,
    share_device,
    use_threads,
)

__all__ = ["CPU", "Mtcnn", "claim_device", "forward_pass", "share_device", "use_threads"]


def __getattr__(name: str) -> object:
    if name != "Mtcnn":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from emotion_detective.engines.mtcnn import Mtcnn  # training has no facenet-pytorch

    return Mtcnn
