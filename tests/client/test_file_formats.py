"""The client knows the formats of files that the server has."""

from __future__ import annotations

from modelgate.file_formats import RowsFormat

from contract.rows.file_formats import FileFormat


def test_the_formats_of_client_and_server_are_the_same() -> None:
    of_client = {kind.name: (kind.media_type, kind.suffixes) for kind in RowsFormat}
    assert of_client == {kind.name: (kind.value, kind.suffixes) for kind in FileFormat}
