"""A scope is one entry: pages, messages and documents that list scopes follow `Scope`."""

from __future__ import annotations

import re

import pytest
from flask.testing import FlaskClient

from contract.work.api_keys import Scope
from gateway.commands import key_commands
from gateway.openapi.schemas import SCHEMAS
from tests.support import PROJECT

NAMES = list(map(str, Scope))


def test_openapi_and_the_help_of_both_commands_list_the_scopes(capsys: pytest.CaptureFixture[str]) -> None:
    assert SCHEMAS["Key"]["properties"]["scopes"]["items"]["enum"] == NAMES
    with pytest.raises(SystemExit):
        key_commands._parser().parse_args(["add", "--help"])
    assert ", ".join(NAMES) in capsys.readouterr().out
    assert f"What it may do: {', '.join(NAMES[:-1])} or {NAMES[-1]}." in _page("reference/command.md")


def test_the_page_of_keys_offers_each_scope_in_its_words(client: FlaskClient) -> None:
    page = client.get("/ui/keys").text
    assert re.findall(r"<b>(\w+)</b> ([^<]+)</span>", page) == [(scope, scope.words) for scope in Scope]


def test_the_documents_list_the_scopes() -> None:
    reference = _page("reference/http-api.md")
    table = reference[reference.index("| scope | opens |") :].partition("\n\n")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == NAMES
    columns = re.search(r"^\| who may \|.*$", _page("explanation/trust.md"), re.MULTILINE)
    assert columns and [name for name in re.findall(r"`(\w+)`", columns[0]) if name in NAMES] == NAMES
    audited = [f"`{scope}`" for scope in Scope if scope.audited]
    assert f"{', '.join(audited[:-1])} and {audited[-1]}" in reference
    quoted = [f"`{name}`" for name in NAMES]
    assert ", ".join(quoted) in _page("how-to/give-out-keys.md")
    assert f"{', '.join(quoted[:-1])} or {quoted[-1]}" in _page("glossary.md")


def _page(path: str) -> str:
    return (PROJECT / "docs" / path).read_text()
