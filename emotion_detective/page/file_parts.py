"""The parts of an upload, read along while they pass by: files, each within its limit.

Gradio holds a text field in memory however long it is, and leaves the half of a file that breaks
off on its disk.
"""

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from emotion_detective.video.decoding import MAX_FILE_BYTES

# Where Gradio looks for uploads among the parts of a message.
UPLOAD_FIELD = b"files"


class RefusedError(ValueError):
    """An upload that must not go on: a sentence, and the status to answer with."""

    def __init__(self, sentence: str, status: int) -> None:
        super().__init__(sentence)
        self.status = status


class FileParts:
    """Reads a multipart message piece by piece and keeps none of it.

    Raises:
        RefusedError: the content type names no boundary.
    """

    def __init__(self, content_type: str) -> None:
        _, options = parse_options_header(content_type)
        self._boundary = options.get(b"boundary")
        self._field = self._value = self._disposition = b""
        self._file_bytes = 0
        callbacks = {
            "on_part_begin": self._begin_part,
            "on_header_field": self._read_field,
            "on_header_value": self._read_value,
            "on_header_end": self._end_header,
            "on_headers_finished": self._end_headers,
            "on_part_data": self._read_data,
        }
        self._parser = MultipartParser(self._boundary, callbacks) if self._boundary else None

    def read(self, piece: bytes) -> None:
        """Read the next piece of the message.

        Raises:
            RefusedError: it holds a part that is no file or one that is too large, or is no upload.
        """
        if self._parser is None:
            raise RefusedError("An upload is multipart/form-data with a boundary.", 400)
        try:
            self._parser.write(piece)
        except FormParserError as error:
            raise RefusedError("This upload cannot be read.", 400) from error

    def refused_part(self) -> bytes:
        """Return a part without a name: it is refused wherever the message breaks off."""
        boundary = self._boundary or b""
        return b"\r\n--" + boundary + b"\r\nContent-Disposition: form-data\r\n\r\n"

    def _begin_part(self) -> None:
        self._field = self._value = self._disposition = b""
        self._file_bytes = 0

    def _read_field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]

    def _read_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        if self._field.lower() == b"content-disposition":
            self._disposition = self._value
        self._field = self._value = b""

    def _end_headers(self) -> None:
        _, options = parse_options_header(self._disposition)
        if options.get(b"name") != UPLOAD_FIELD or b"filename" not in options:
            raise RefusedError("An upload holds files only, each in a field named files.", 413)

    def _read_data(self, data: bytes, start: int, end: int) -> None:
        self._file_bytes += end - start
        if self._file_bytes > MAX_FILE_BYTES:
            limit = f"{MAX_FILE_BYTES / 1e6:.0f} MB"
            raise RefusedError(f"A file may have {limit} at most.", 413)
