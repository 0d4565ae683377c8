"""Forms with files, sent in pieces."""

from __future__ import annotations

import io
import os
import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO

from modelgate.progress import OnSent


class Form:
    """A form (`multipart/form-data`): texts by name, and files by name as their file names and contents."""

    def __init__(self, texts: Mapping[str, str], files: Mapping[str, tuple[str, bytes | Path]]) -> None:
        self._boundary = uuid.uuid4().hex
        self._texts, self._files = texts, files

    @property
    def headers(self) -> dict[str, str]:
        return {"Content-Type": f"multipart/form-data; boundary={self._boundary}"}

    def open(self, on_sent: OnSent) -> Pieces:
        """Return the body from its beginning. `on_sent` is called as it is read."""
        return Pieces(list(self._parts()), on_sent)

    def _parts(self) -> Iterator[bytes | Path]:
        for name, text in self._texts.items():
            yield self._head(f'name="{name}"') + text.encode() + b"\r\n"
        for name, (file_name, content) in self._files.items():
            quoted = re.sub(r'[\x00-\x1f"\\\x7f]', "_", file_name)
            yield self._head(f'name="{name}"; filename="{quoted}"')
            yield content
            yield b"\r\n"
        yield f"--{self._boundary}--\r\n".encode()

    def _head(self, disposition: str) -> bytes:
        return f"--{self._boundary}\r\nContent-Disposition: form-data; {disposition}\r\n\r\n".encode(errors="replace")


class Pieces:
    """Bytes and files, one after the other, as one file. Its length is known before it is read."""

    def __init__(self, pieces: Sequence[bytes | Path | IO[bytes]], on_sent: OnSent) -> None:
        self._opened = ExitStack()
        self._files = [self._file(piece) for piece in pieces]
        self._sizes = [_left_in(file) for file in self._files]
        self._on_sent, self._read = on_sent, 0

    def _file(self, piece: bytes | Path | IO[bytes]) -> IO[bytes]:
        if isinstance(piece, bytes):
            return io.BytesIO(piece)
        return self._opened.enter_context(piece.open("rb")) if isinstance(piece, Path) else piece

    def __len__(self) -> int:
        return sum(self._sizes)

    @property
    def is_read(self) -> bool:
        """Whether all of it was read."""
        return self._read == len(self)

    def read(self, size: int = -1) -> bytes:
        while self._files:
            if data := self._files[0].read(size):
                self._read += len(data)
                self._on_sent(self._read, len(self))
                return data
            self._files.pop(0)
        self._opened.close()
        return b""


def _left_in(file: IO[bytes]) -> int:
    here = file.tell()
    end = file.seek(0, os.SEEK_END)
    file.seek(here)
    return end - here
