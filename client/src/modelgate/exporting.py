"""Exports a version as a folder that MLflow reads."""

from __future__ import annotations

import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import quote

from modelgate.connection import Connection
from modelgate.errors import ModelgateError, Unreachable


def export(client: Connection, reference: str, folder: str | Path) -> Path:
    """Write a version, such as `loan@3`, or `loan` for the current one, into a new `folder`, and return that.

    `mlflow.pyfunc.load_model` reads the folder, and gives the answers of Modelgate. Raises `ModelgateError`, and
    OSError if the folder cannot be written.

    >>> from tempfile import mkdtemp
    >>> from modelgate import Client
    >>> sorted(path.name for path in Client().export("iris", mkdtemp()).iterdir())
    ['MLmodel', 'card.json', 'card.md', 'code', 'data', 'input_example.json', 'python_env.yaml', 'requirements.txt']
    """
    target = Path(folder)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ModelgateError(f"{target} is there, and not an empty folder; name a new one")
    name, _, version = reference.partition("@")
    path = f"/v1/models/{quote(name, safe='')}/versions/{quote(version or 'current', safe='')}/export"
    with TemporaryDirectory(prefix=f".{target.name}-", dir=target.resolve().parent) as scratch:
        archive, unpacked = Path(scratch, "export.zip"), Path(scratch, "folder")
        with archive.open("wb") as file:
            file.writelines(client.stream(path))
        try:
            with zipfile.ZipFile(archive) as content:
                content.extractall(unpacked)  # no member gets out of it, whatever its name
        except zipfile.BadZipFile as error:
            raise Unreachable(f"the export of {reference} arrived incomplete ({error}); try again") from error
        if target.exists():
            target.rmdir()
        unpacked.rename(target)
    return target
