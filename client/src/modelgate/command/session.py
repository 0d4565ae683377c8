"""What every verb has: the options `--json`, `--profile` and `--url`, a client, and where it writes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Any
from urllib.parse import quote

from rich.console import Console, RenderableType

from modelgate import Client
from modelgate.command.terminal import console, print_json
from modelgate.command.verbs import flag, option
from modelgate.text import visible

PANEL = "Every command"
_PAGE = 100


@dataclass
class Session:
    """The options of every verb, and what follows from them."""

    as_json: Annotated[bool, flag("Print the answer as JSON.", "--json", rich_help_panel=PANEL)] = False
    profile: Annotated[
        str | None, option("The profile to use; see `modelgate profile`.", metavar="NAME", rich_help_panel=PANEL)
    ] = None
    url: Annotated[
        str | None,
        # Its name, because typer 0.27 takes it from a metavar that differs in case alone.
        option("The address of Modelgate, instead of a profile.", "--url", metavar="URL", rich_help_panel=PANEL),
    ] = None
    out: Console = field(default_factory=console, init=False)
    err: Console = field(default_factory=lambda: console(stderr=True), init=False)

    @cached_property
    def client(self) -> Client:
        """The client of the Modelgate that is asked."""
        return Client(self.url, profile=self.profile)

    def get(self, path: str, **parameters: Any) -> Any:
        """Return the JSON at `path`. Parameters that are None are left out."""
        return self.client.request("GET", path, params=without_none(parameters))

    def items(self, path: str, limit: int, **parameters: Any) -> list[Any]:
        """Return the first `limit` items of a list that comes in pages."""
        items: list[Any] = []
        cursor = None
        while len(items) < limit:
            page = self.get(path, limit=min(limit - len(items), _PAGE), cursor=cursor, **parameters)
            items += page["items"]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        return items[:limit]

    def show(self, data: Any, lines: Callable[[], Iterable[RenderableType]]) -> None:
        """Print `data` as JSON if that is asked for, else `lines`."""
        if self.as_json:
            print_json(data)
            return
        for line in lines():
            self.print(line)

    def print(self, line: RenderableType) -> None:
        self.out.print(visible(line) if isinstance(line, str) else line, soft_wrap=isinstance(line, str))

    def note(self, remark: str) -> None:
        """Print a remark on standard error, which programs do not read."""
        self.err.print(visible(remark), soft_wrap=True)

    def notes(self, remarks: Iterable[str]) -> None:
        for remark in remarks:
            self.note(f"note: {remark}")


def without_none(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that have a value."""
    return {name: value for name, value in options.items() if value is not None}


def segment(name: object) -> str:
    """Return a name as one segment of a path."""
    return quote(str(name), safe="@")
