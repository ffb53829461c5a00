"""A zip, a folder, a CSV or a Hub dataset -> train, validation and test, six classes, no leaks.

It must not know networks, recipes or the page.
"""

from emotion_detective.data.dataset import FEATURES, load, load_split, subset, to_tensors
from emotion_detective.data.layout import SPLITS
from emotion_detective.data.sources import display_name

__all__ = ["FEATURES", "SPLITS", "display_name", "load", "load_split", "subset", "to_tensors"]
