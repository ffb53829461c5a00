"""Any picture, file or array -> upright RGB, through one door: `read_picture`.

A file's way is straight: its bytes (`pictures.py`), what it is (`formats.py`), its pixels
(`decoders.py`), 8 bits and upright. The room must import no other: it knows no faces and no page.
"""

from emotion_detective.files.decoders import DECODE_ERRORS, MAX_FILE_BYTES, MAX_PIXELS
from emotion_detective.files.pictures import Opened, Source, read_picture

__all__ = ["DECODE_ERRORS", "MAX_FILE_BYTES", "MAX_PIXELS", "Opened", "Source", "read_picture"]
