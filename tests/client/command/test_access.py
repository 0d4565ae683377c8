"""Keys, profiles and the audit log, and what a command without rights says."""

from __future__ import annotations

import io
import re
import stat
from pathlib import Path

import pytest
from redis import Redis

from broker.access.audit_log import AuditEntry, AuditLog
from tests.client.command.conftest import ADMIN_KEY, Modelgate
from tests.stacks.gateways import Site
from tests.support import until


@pytest.mark.slow
def test_a_key_is_created_listed_rotated_used_and_revoked(admin: Modelgate) -> None:
    made = admin("keys", "create", "ci", "--scope", "predict,read", "--model", "sum", "--limit", "rows_per_second=9")
    assert re.fullmatch(r"mg_\S+\n", made.out) and "the key ci (" in made.err and "shown only now" in made.err
    (listed,) = admin("keys", "list", "--json").json
    assert (listed["scopes"], listed["models"], listed["limits"]) == (
        ["predict", "read"],
        ["sum"],
        {"rows_per_second": 9},
    )
    assert admin("models", MODELGATE_API_KEY=made.out.strip()).code == 0
    limits = ("--limit", "rows_per_second=none,rows_waiting=5")
    changed = admin("keys", "change", "ci", "--model", "sun", *limits, "--expires", "90d", "--json")
    assert (changed.json["models"], changed.json["limits"]) == (["sun"], {"rows_waiting": 5})
    assert changed.json["expires_at"] and "there is no model 'sun' yet" in changed.err
    said = admin("keys", "change", "ci", "--all-models", "--expires", "never", "--detail", "terse").out
    assert said == f"ci ({listed['id']}) is changed\n"
    (after,) = admin("keys", "list", "--json").json
    kept = {name: listed[name] for name in ("id", "name", "owner", "scopes")}
    assert after == after | kept | {"models": None, "expires_at": None, "detail": "terse"}
    assert admin("explain", "sum", '{"a": 1}', MODELGATE_API_KEY=made.out.strip()).code == 1
    counted = re.compile(r"^ci .* 1 +1 *$", re.MULTILINE)
    until(lambda: counted.search(admin("keys", "list").out), "the use of the key")
    assert made.out.strip() not in admin("keys", "list", "--json").out
    rotated = admin("keys", "rotate", "ci", "--json").json
    assert rotated["secret"].startswith("mg_") and rotated["secret"] != made.out.strip()
    assert admin("keys", "revoke", rotated["id"]).out == f"ci ({rotated['id']}) is revoked\n"
    assert admin("keys", "revoke", "ci").err.startswith("modelgate: there is no key 'ci'")
    actions = [entry["action"] for entry in admin("audit", "--since", "1h", "--outcome", "done", "--json").json]
    assert actions[:5] == ["revoke_key", "rotate_key", "change_key", "change_key", "make_key"]
    assert "rotate_key" in admin("audit", "--action", "rotate_key").out


def test_admins_see_whose_key_made_a_version(admin: Modelgate, closed: Site) -> None:
    with Redis.from_url(closed.server.url) as redis:
        AuditLog(redis, 1).write(AuditEntry("upload", "ada", model="sum", version=1))
    assert re.search(r"^ *1 +current .* ada +20", admin("versions", "sum").out, re.MULTILINE)
    (version,) = admin("versions", "sum", "--json").json
    assert version["made_by"] == "ada"
    reader = admin("keys", "create", "reader", "--scope", "read").out.strip()
    assert "ada" not in admin("versions", "sum", MODELGATE_API_KEY=reader).out
    admin("keys", "revoke", "reader")


@pytest.mark.parametrize(
    ("arguments", "key", "code", "said"),
    [
        (["models"], "", 4, "modelgate: this Modelgate needs a key"),
        (["models"], "mg_wrong", 4, "modelgate: "),
        (["model", "summ"], ADMIN_KEY, 1, "did you mean 'sum'?"),
        (["keys", "create", "x", "--scope", "fly"], ADMIN_KEY, 1, "'fly'"),
        (["keys", "create", "x", "--scope", "read", "--limit", "many"], ADMIN_KEY, 2, "--limit 'many' is not NAME=N"),
        (["keys", "change", "x", "--scope", "read"], ADMIN_KEY, 1, "there is no key 'x'"),
        (["audit", "--since", "soon"], ADMIN_KEY, 2, "--since 'soon' is not a time"),
        (["predict", "sum", "no.csv"], ADMIN_KEY, 2, "no.csv: No such file or directory"),
        (["predict", "sum", "no.csv", "-o", "none/out.csv"], ADMIN_KEY, 2, "none is no folder"),
        (["promote", "sum"], ADMIN_KEY, 2, "'sum' names no version; name one, such as sum@4"),
        (["promot"], ADMIN_KEY, 2, "see `modelgate --help`"),
        (["models", "--profile", "none"], ADMIN_KEY, 1, "there is no profile 'none'"),
        (["models", "--url", "http://127.0.0.1:9"], ADMIN_KEY, 3, "no Modelgate answers at http://127.0.0.1:9"),
        (["models", "--url", "ftp://x"], ADMIN_KEY, 1, "is not the address of a Modelgate"),
    ],
)
def test_an_error_is_one_line_on_standard_error_and_an_exit_code(
    admin: Modelgate, arguments: list[str], key: str, code: int, said: str
) -> None:
    ended = admin(*arguments, MODELGATE_API_KEY=key)
    assert (ended.code, ended.out, ended.err.count("\n")) == (code, "", 1), ended
    assert ended.err.startswith("modelgate: ") and said.removeprefix("modelgate: ") in ended.err


def test_a_report_that_cannot_be_read_leaves_the_file_of_an_earlier_one(admin: Modelgate, tmp_path: Path) -> None:
    (tmp_path / "sum.html").write_text("of yesterday")
    assert admin("report", "sum", "-o", tmp_path / "sum.html").code == 1
    assert {file.name: file.read_text() for file in tmp_path.glob("*.*")} == {"sum.html": "of yesterday"}


@pytest.mark.slow
def test_the_card_of_a_version_is_markdown_or_json(admin: Modelgate, tmp_path: Path) -> None:
    printed = admin("card", "sum@1")
    assert (printed.code, printed.out.splitlines()[0]) == (0, "# sum, version 1")
    file = tmp_path / "sum.md"
    assert admin("card", "sum", "-o", file).out == f"card of sum → {file}\n"
    assert file.read_text() == printed.out
    assert admin("card", "sum", "-o", "-").out == printed.out
    card = admin("card", "sum", "--json").json
    assert (card["name"], card["version"], card["since"]["lineage"]["aliases"]) == ("sum", 1, ["current"])
    assert "there is no model" in admin("card", "summ").err


def test_a_profile_keeps_a_key_that_is_never_shown(
    closed: Site, modelgate: Modelgate, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{ADMIN_KEY}\n"))
    added = modelgate("profile", "add", "team", "--url", closed.gateway.address)
    assert added.out == f"team: {closed.gateway.address} with a key, the default\n"
    (file,) = (tmp_path / "config").rglob("*.toml")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600 and ADMIN_KEY in file.read_text()
    assert modelgate("models").code == 0
    monkeypatch.setattr("sys.stdin", io.StringIO("\n"))
    modelgate("profile", "add", "other", "--url", "http://127.0.0.1:9", "--no-check")
    assert modelgate("models", "--profile", "other").code == 3
    assert modelgate("profile", "use", "other").out == "other is the default\n"
    shown = modelgate("profile", "list")
    assert "team" in shown.out and ADMIN_KEY not in shown.out + modelgate("profile", "list", "--json").out
    assert modelgate("profile", "add", "proxied", "--url", "https://me:pass@host", "--no-check").code == 0
    shown = modelgate("profile", "list")
    assert "https://…@host" in shown.out and "pass" not in shown.out + modelgate("profile", "list", "--json").out
    modelgate("profile", "remove", "proxied")
    modelgate("profile", "remove", "team")
    assert [profile["name"] for profile in modelgate("profile", "list", "--json").json] == ["other"]


def test_a_profile_with_a_wrong_key_is_not_kept(
    closed: Site, modelgate: Modelgate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("mg_wrong\n"))
    assert modelgate("profile", "add", "team", "--url", closed.gateway.address).code == 4
    assert modelgate("profile", "list", "--json").json == []


def test_a_profile_without_a_key_does_not_get_that_of_the_environment(
    closed: Site, admin: Modelgate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("\n\n"))
    assert admin("profile", "add", "plain", "--url", closed.gateway.address).code == 4
    assert admin("profile", "add", "plain", "--url", closed.gateway.address, "--no-check").code == 0
    assert admin("models", "--profile", "plain").code == 4
    ended = admin("doctor", "--profile", "plain")
    assert ended.code == 1 and "without a key" in ended.out and "the request has no key" in ended.out


def test_the_options_of_every_verb_may_also_come_before_it(admin: Modelgate, closed: Site) -> None:
    url = f"http://127.0.0.1:{closed.gateway.port}"
    after = admin("models", "--url", url, "--json")
    assert admin("--url", url, "--json", "models", MODELGATE_URL="http://127.0.0.1:9").json == after.json
    assert admin("--json", "keys", "list").json == admin("keys", "list", "--json").json
    assert admin("--url", "http://127.0.0.1:9", "models").err.startswith("modelgate: no Modelgate answers at")
    assert admin("--url", "http://127.0.0.1:9", "models", "--url", url).code == 0
