"""What the job of a file prediction asks for."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from contract.model.signature import PREDICT
from contract.rows.file_formats import FileFormat


@dataclass(frozen=True)
class FileRequest:
    """The payload of a file prediction: the rows of a file in the format `input` for a method of the pinned version.

    `lenient`: rows that cannot be used stay without a prediction; otherwise they fail the job. `escape`: cells of a CSV
    that a spreadsheet would run as formulas get a "'".
    """

    model: str
    version: int
    input: FileFormat
    output: FileFormat
    method: str = PREDICT.name
    lenient: bool = True
    escape: bool = False

    def to_json(self) -> dict[str, object]:
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> FileRequest:
        """Raises `ValueError`, `KeyError` and `TypeError` for another payload."""
        return cls(**{**data, "input": FileFormat(data["input"]), "output": FileFormat(data["output"])})
