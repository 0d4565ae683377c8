"""The report of a version: a page, and its facts."""

from __future__ import annotations

import html
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelgate.text import without_password

if TYPE_CHECKING:
    from modelgate.connection import Connection


class Report:
    """The report of a version. A notebook shows the page.

    >>> from modelgate import Client
    >>> report = Client().train("iris").wait().report
    >>> report.model, "metrics" in report.facts
    ('iris', True)
    """

    def __init__(self, connection: Connection, model: str, version: int) -> None:
        self._connection = connection
        self._path = f"/v1/models/{model}/versions/{version}/report"
        self.model = model
        self.version = version

    @property
    def url(self) -> str:
        """The address of the page."""
        return self._connection.url + self._path

    @cached_property
    def html(self) -> str:
        """The page: HTML that needs nothing else. Raises `NotFound` for a version without a report."""
        return self._connection.send("GET", self._path, headers={"Accept": "text/html"}).content.decode()

    @cached_property
    def facts(self) -> dict[str, Any]:
        """The facts of the page as JSON."""
        facts: dict[str, Any] = self._connection.request("GET", self._path, params={"format": "json"})
        return facts

    def save(self, target: str | Path) -> Path:
        """Write the page to a file and return its path."""
        path = Path(target)
        path.write_text(self.html, encoding="utf-8")
        return path

    def _repr_html_(self) -> str:
        # In a frame of its own, the styles of the page and of the notebook cannot meet; without scripts it is inert.
        return (
            f'<iframe sandbox="allow-popups" srcdoc="{html.escape(self.html, quote=True)}"'
            ' style="width: 100%; height: 600px; border: 1px solid #ccc"></iframe>'
        )

    def __repr__(self) -> str:
        return f"<Report of {self.model}@{self.version}: {self.facts.get('verdict') or without_password(self.url)}>"
