"""`python -m gateway key`: API keys on the command line of an installation."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Protocol

import pytest
from redis import Redis

from broker.access.audit_log import Stream
from broker.access.key_store import Keys
from contract.work.api_keys import TOKEN, Detail, Limits, Scope, fingerprint
from gateway.commands import key_commands
from tests.support import PROJECT

Ended = subprocess.CompletedProcess[str]
ADD = ("add", "--name", "ci", "--scopes", "predict")


class CommandLine(Protocol):
    def __call__(self, *arguments: str, **environ: str) -> Ended: ...


@pytest.fixture
def away_from_redis(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    """Runs `key` in this process, with nothing in its environment but two folders."""
    monkeypatch.delenv("REDIS_URL", raising=False)
    monkeypatch.setenv("STATE_DIR", str(tmp_path))
    monkeypatch.setenv("MODELS_DIR", str(tmp_path / "models"))

    def run(*arguments: str, **environ: str) -> Ended:
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        status = key_commands.main(arguments)
        return Ended(arguments, status, *capsys.readouterr())

    return run


@pytest.fixture
def key(away_from_redis: CommandLine, redis: Redis, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    monkeypatch.setenv("REDIS_URL", redis_url)
    return away_from_redis


@pytest.mark.waits
def test_a_key_is_made_and_printed_once(key: CommandLine, redis: Redis, tmp_path: Path) -> None:
    options = ("--models", "loan,iris", "--owner", "risk", "--limits", "rows_per_second=100, jobs_in_flight=2")
    command = [sys.executable, "-m", "gateway", "key", "add", "--name", "ci", "--scopes", "predict,read"]
    made = subprocess.run(
        [*command, "--expires", "90d", *options], cwd=PROJECT, capture_output=True, text=True, timeout=60, check=True
    )
    secret = made.stdout.removesuffix("\n")
    assert TOKEN.fullmatch(secret), made
    assert "this is the first key" in made.stderr and secret not in made.stderr
    stored = Keys(redis).find(fingerprint(secret))
    assert stored and (stored.name, stored.owner, stored.scopes) == ("ci", "risk", {Scope.PREDICT, Scope.READ})
    assert (stored.models, stored.limits) == ({"loan", "iris"}, Limits(rows_per_second=100, jobs_in_flight=2))
    assert stored.detail is Detail.FULL
    assert (tmp_path / "closed").exists()
    listed = key("list").stdout.splitlines()
    assert [line.split()[0] for line in listed] == ["NAME", "ci"] and "never" in listed[1]
    assert "first key" not in key("add", "--name", "other", "--scopes", "read").stderr


def test_a_key_names_the_one_that_its_maker_needs_while_nobody_is_an_admin(key: CommandLine) -> None:
    assert "--scopes admin" in key(*ADD).stderr
    assert "--scopes admin" in key("add", "--name", "second", "--scopes", "predict").stderr
    assert "--scopes admin" not in key("add", "--name", "me", "--scopes", "admin").stderr
    assert "--scopes admin" not in key("add", "--name", "third", "--scopes", "predict").stderr


def test_a_first_key_of_an_admin_needs_no_other(key: CommandLine) -> None:
    assert "--scopes admin" not in key("add", "--name", "me", "--scopes", "admin").stderr


def test_a_model_that_does_not_exist_is_named(key: CommandLine, tmp_path: Path) -> None:
    version = tmp_path / "models" / "loan" / "versions" / "1"
    version.mkdir(parents=True)
    (version / "manifest.json").touch()
    (tmp_path / "models" / "loan" / "aliases.json").write_text('{"current": 1}')
    made = key(*ADD, "--models", "lone,loan", MODELS_DIR=str(tmp_path / "models"))
    assert TOKEN.fullmatch(made.stdout.strip()), "the model may come later"
    assert "there is no model 'lone' yet (did you mean 'loan'?)" in made.stderr and "'loan' yet" not in made.stderr


def test_a_key_is_rotated_and_revoked_by_its_name(key: CommandLine, redis: Redis) -> None:
    first = key(*ADD).stdout.strip()
    rotated = key("rotate", "ci", "--overlap", "1h")
    assert "the old secret works until" in rotated.stderr
    keys = Keys(redis)
    assert all(keys.find(fingerprint(secret)) for secret in (first, rotated.stdout.strip()))
    assert key("revoke", "ci").returncode == 0
    assert not keys.all()
    assert [key(verb, "ci").returncode for verb in ("rotate", "revoke")] == [2, 2]


def test_a_key_is_changed_and_what_is_not_named_stays(key: CommandLine, redis: Redis) -> None:
    secret = key(*ADD, "--limits", "rows_per_second=9", "--expires", "9d").stdout.strip()
    changed = key("change", "ci", "--scopes", "read,predict", "--models", "loan", "--limits", "rows_waiting=5")
    assert changed.returncode == 0 and "there is no model 'loan' yet" in changed.stderr
    stored = Keys(redis).find(fingerprint(secret))
    assert stored and (stored.scopes, stored.models) == ({Scope.READ, Scope.PREDICT}, {"loan"})
    assert stored.limits == Limits(rows_per_second=9, rows_waiting=5) and stored.expires_at
    key("change", "ci", "--all-models", "--limits", "rows_per_second=none", "--expires", "never", "--detail", "full")
    stored = Keys(redis).find(fingerprint(secret))
    assert stored and (stored.models, stored.limits, stored.expires_at) == (None, Limits(rows_waiting=5), None)
    assert key("change", "ci", "--limits", "rows_waiting=x").returncode == 2
    assert key("change", "none").returncode == 2


def test_the_last_admin_is_changed_only_beside_an_admin_key(key: CommandLine) -> None:
    key("add", "--name", "me", "--scopes", "admin")
    refused = key("change", "me", "--scopes", "read")
    assert refused.returncode == 2 and "no other key has the scope admin" in refused.stderr
    assert key("change", "me", "--scopes", "read", ADMIN_KEY="a" * 40).returncode == 0


def test_commands_are_audited(key: CommandLine, redis: Redis) -> None:
    key(*ADD)
    key("change", "ci", "--detail", "full")
    key("rotate", "ci")
    key("revoke", "ci")
    entries = b" ".join(values[b"entry"] for _, values in redis.xrange(Stream.PRIVILEGED)).decode()  # type: ignore[union-attr]
    assert [action in entries for action in ("make_key", "change_key", "rotate_key", "revoke_key")] == [True] * 4
    assert entries.count('"actor":"command line"') == 4 and "mg_" not in entries


def test_wrong_arguments_are_all_named(key: CommandLine, redis: Redis) -> None:
    refused = key("add", "--name", "CI", "--scopes", "predit", "--limits", "rows=x", "--expires", "soon")
    assert refused.returncode == 2 and refused.stdout == ""
    lines = refused.stderr.splitlines()
    assert len(lines) == 4 and all(line.startswith("modelgate: ") for line in lines)
    assert "did you mean 'predict'?" in refused.stderr
    assert not Keys(redis).exist()


def test_a_redis_that_does_not_answer_is_named_without_its_password(
    away_from_redis: CommandLine, tmp_path: Path
) -> None:
    refused = away_from_redis(*ADD, REDIS_URL="redis://:geheim@127.0.0.1:1")
    assert refused.returncode == 1 and "Redis does not answer" in refused.stderr
    assert "geheim" not in refused.stderr and "Traceback" not in refused.stderr
    assert not (tmp_path / "closed").exists(), "there is no key, so nothing is closed"


def test_a_marker_that_cannot_be_written_refuses_the_key(key: CommandLine, redis: Redis) -> None:
    refused = key(*ADD, STATE_DIR="/proc")
    assert refused.returncode == 2 and "cannot write /proc/closed" in refused.stderr
    assert not Keys(redis).exist()


def test_without_an_installation_it_says_what_to_do(away_from_redis: CommandLine, tmp_path: Path) -> None:
    refused = away_from_redis("list", STATE_DIR=str(tmp_path / "none"))
    assert refused.returncode == 2 and "`make up`" in refused.stderr and "docker compose exec" in refused.stderr


def test_it_finds_the_redis_of_make_up(
    away_from_redis: CommandLine, redis: Redis, redis_url: str, tmp_path: Path
) -> None:
    (tmp_path / "redis").mkdir()
    (tmp_path / "redis.sock").symlink_to(redis_url.removeprefix("unix://"))
    made = away_from_redis(*ADD)
    assert TOKEN.fullmatch(made.stdout.strip()), made
    assert (tmp_path / "closed").exists()
