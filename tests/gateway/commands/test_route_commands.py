"""`python -m gateway routes --check`: what it says of a ROUTES_FILE, its models and its keys."""

from __future__ import annotations

from pathlib import Path

import pytest
from redis import Redis

from contract.settings import Settings
from contract.work.api_keys import Key, Scope, new_token
from gateway.commands import route_commands
from tests.gateway.callers import store
from tests.gateway.routes.test_mapped_routes import AS_TEXT, IN_PATH


@pytest.fixture
def file(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that the environment names, beside the models and the Redis of the test."""
    monkeypatch.setenv("ROUTES_FILE", str(file := tmp_path / "routes.toml"))
    monkeypatch.setenv("MODELS_DIR", str(settings.models_dir))
    monkeypatch.setenv("REDIS_URL", settings.redis_url)
    return file


def test_a_good_file(file: Path, redis: Redis, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(AS_TEXT + 'key = "old"')
    store(redis, new_token(), Key("k", "old", "legacy", frozenset({Scope.PREDICT})))
    assert route_commands.main(["--check"]) == 0
    said = capsys.readouterr()
    assert said.out == f"POST /mass: sum, with the key 'old'\n1 route of {file}, 0 warnings\n"
    assert said.err == ""


def test_what_is_missing_is_a_warning(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(AS_TEXT.replace('"sum"', '"sun"') + 'key = "old"' + IN_PATH.replace("kinds", "sum"))
    assert route_commands.main(["--check"]) == 0
    said = capsys.readouterr()
    assert said.err.splitlines() == [
        "modelgate: POST /mass answers 503: there is no model 'sun' (did you mean 'sum'?); there are: sum",
        "modelgate: GET /sum/a/<a>/b/<B> answers 503: the model of this address has no input 'B', which the path names;"
        " change the route in ROUTES_FILE, or name another model there",
        "modelgate: there is no valid key 'old' to lend; make it: python -m gateway key add --name old --scopes"
        " predict",
    ]
    assert said.out.endswith("2 routes of " + str(file) + ", 3 warnings\n")


def test_a_key_cannot_be_looked_up_without_redis(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text(AS_TEXT + 'key = "old"')
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1")
    monkeypatch.setattr(route_commands, "TIMEOUT", 0.1)
    assert route_commands.main(["--check"]) == 0
    assert "the keys cannot be looked up: Redis" in capsys.readouterr().err
    monkeypatch.delenv("REDIS_URL")
    assert route_commands.main(["--check"]) == 0
    assert capsys.readouterr().err == ""


def test_a_file_with_which_the_gateway_cannot_start(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text(AS_TEXT + AS_TEXT)
    assert route_commands.main(["--check"]) == 1
    assert route_commands.main([]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    refused = f"ROUTES_FILE={file}: POST /mass collides with another POST /mass; give one of them another path"
    assert said.err.splitlines() == [f"modelgate: {refused}"] * 2
    other = tmp_path / "other.toml"
    other.write_text(AS_TEXT)
    assert route_commands.main(["--check", str(other)]) == 0
    monkeypatch.delenv("ROUTES_FILE")
    assert route_commands.main(["--check"]) == 1
    assert "set ROUTES_FILE, or name a file" in capsys.readouterr().err


def test_the_list_has_the_mapped_routes(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(AS_TEXT)
    assert route_commands.main([]) == 0
    assert "predict  POST    /mass" in capsys.readouterr().out.splitlines()


def test_the_start_warns_of_models_that_are_not_there(settings: Settings, file: Path) -> None:
    file.write_text(AS_TEXT + IN_PATH)
    (concern,) = route_commands.check(file, settings)
    assert concern.startswith("GET /sum/a/<a>/b/<B> answers 503: there is no model 'kinds'")
