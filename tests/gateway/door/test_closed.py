"""Closed stays closed: a marker outside Redis is made before the first key, and no state of Redis opens the door."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from redis import Redis

from broker.access.key_store import KEYS, Keys
from contract import settings as settings_of
from contract.errors import SettingsError
from contract.files import outlasts_container
from contract.settings import Settings
from contract.work.api_keys import Key, Scope, fingerprint, new_token
from gateway.app import create_app
from gateway.door.closed import ClosedState
from gateway.serving.marker import Marker
from tests.gateway.conftest import without_redis
from tests.gateway.door.test_authentication import ADMIN_KEY, bearer
from tests.gateway.problems.test_refusals import problem
from tests.support import until

FIRST = {"name": "first", "scopes": ["admin"]}


def close(client: FlaskClient) -> str:
    """Make the first key."""
    answer = client.post("/v1/keys", json=FIRST)
    assert answer.status_code == 201
    secret: str = answer.get_json()["secret"]
    return secret


def test_the_first_key_closes_the_gateway_and_every_other_process(settings: Settings, client: FlaskClient) -> None:
    sibling = create_app(settings).test_client()
    assert client.get("/v1/models").status_code == sibling.get("/v1/models").status_code == 200
    secret = close(client)
    for process in (client, sibling):
        problem(process.get("/v1/models"), 401, "missing_key")
        assert process.get("/v1/models", headers=bearer(secret)).status_code == 200


def test_where_nobody_is_anonymous_a_new_gateway_on_an_empty_redis_needs_a_key(
    settings: Settings, redis: Redis
) -> None:
    """As on a machine without the volume of the marker."""
    app = create_app(replace(settings, allow_anonymous=False))
    client = app.test_client()
    problem(client.get("/v1/models"), 401, "missing_key")
    problem(client.post("/v1/keys", json=FIRST), 401, "missing_key")
    until(lambda: "no_key" in client.get("/health/ready").text, "readiness says that there is no key")
    Keys(redis).add(fingerprint(token := new_token()), Key("k1", "me", "me", frozenset({Scope.READ})))
    assert client.get("/v1/models", headers=bearer(token)).status_code == 200
    replace(settings, allow_anonymous=False, host="0.0.0.0").check_host()


def test_the_marker_is_made_before_the_first_key(
    settings: Settings, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bool] = []
    add = Keys.add

    def noting(keys: Keys, *arguments: Any) -> object:
        seen.append(settings.marker.exists())
        return add(keys, *arguments)

    monkeypatch.setattr(Keys, "add", noting)
    close(client)
    assert seen == [True]


def test_no_marker_is_made_for_a_key_that_is_refused(settings: Settings, client: FlaskClient) -> None:
    problem(client.post("/v1/keys", json={"name": "first"}), 422, "invalid_key_request")
    problem(without_redis(settings).post("/v1/keys", json=FIRST), 503, "redis_unavailable")
    assert not settings.marker.exists()


@pytest.mark.parametrize("target", ["/proc", "/dev/null"])
def test_without_a_writable_marker_there_is_no_first_key(
    settings: Settings, redis: Redis, tmp_path: Path, target: str
) -> None:
    settings = replace(settings, state_dir=tmp_path / "state")
    client = create_app(settings).test_client()
    settings.state_dir.rename(tmp_path / "gone")
    settings.state_dir.symlink_to(target)
    answer = client.post("/v1/keys", json=FIRST)
    problem(answer, 503, "no_marker")
    assert f"cannot write {settings.marker} (" in answer.get_json(force=True)["detail"]
    assert not redis.exists(KEYS)
    assert client.get("/v1/models").status_code == 200


def test_a_marker_that_cannot_be_written_whole_closes_nothing(tmp_path: Path) -> None:
    """On a full disk there is no first key, and so there must be no file that asks for one."""
    marker = tmp_path / "state" / "closed"
    make = f"from pathlib import Path; from gateway.serving.marker import Marker; Marker(Path({str(marker)!r})).make()"
    full = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)); "
    failed = subprocess.run([sys.executable, "-c", full + make], capture_output=True, check=False)
    assert b"File too large" in failed.stderr
    assert list(marker.parent.iterdir()) == []
    subprocess.run([sys.executable, "-c", make], check=True)
    assert [path.name for path in marker.parent.iterdir()] == ["closed"] and marker.stat().st_size > 0


def test_an_emptied_redis_opens_nothing(settings: Settings, client: FlaskClient, redis: Redis) -> None:
    secret = close(client)
    redis.flushall()
    restarted = create_app(settings).test_client()
    problem(restarted.get("/v1/models"), 401, "missing_key")
    problem(restarted.get("/v1/models", headers=bearer(secret)), 401, "invalid_key")
    problem(restarted.post("/v1/keys", json=FIRST), 401, "missing_key")


def test_a_redis_that_is_away_opens_nothing(settings: Settings, client: FlaskClient) -> None:
    secret = close(client)
    restarted = create_app(replace(settings, redis_url="redis://127.0.0.1:1")).test_client()
    problem(restarted.get("/v1/models"), 401, "missing_key")
    problem(restarted.get("/v1/models", headers=bearer(secret)), 503, "redis_unavailable")


def test_the_admin_key_alone_closes_without_a_marker_and_without_redis(settings: Settings) -> None:
    away = replace(settings, redis_url="redis://127.0.0.1:1", admin_key=ADMIN_KEY)
    client = create_app(away).test_client()
    problem(client.get("/v1/models"), 401, "missing_key")
    assert client.get("/v1/models", headers=bearer(ADMIN_KEY)).status_code == 200
    assert ADMIN_KEY not in repr(away)


def test_until_redis_has_said_whether_there_are_keys_only_open_routes_answer(settings: Settings) -> None:
    client = create_app(replace(settings, redis_url="redis://127.0.0.1:1")).test_client()
    for path in ("/v1/models", "/metrics", "/v1/none"):
        problem(client.get(path), 503, "redis_unavailable")
    problem(client.post("/v1/models/sum/predict", json={"a": 1, "b": 2}), 503, "redis_unavailable")
    assert client.get("/health/live").status_code == 200
    assert client.get("/health/ready").status_code == 503


def test_a_gateway_that_finds_a_key_makes_a_marker_of_its_own(
    settings: Settings, client: FlaskClient, redis: Redis, tmp_path: Path
) -> None:
    elsewhere = replace(settings, state_dir=tmp_path / "another machine")
    running = create_app(elsewhere).test_client()
    assert running.get("/v1/models").status_code == 200
    close(client)
    started = create_app(elsewhere).test_client()
    problem(started.get("/v1/models"), 401, "missing_key")
    assert elsewhere.marker.exists()
    problem(running.get("/v1/models"), 401, "missing_key")


def test_a_running_gateway_looks_for_keys_and_makes_a_lost_marker_again(redis: Redis, tmp_path: Path) -> None:
    marker = Marker(tmp_path / "closed")
    state = ClosedState(Keys(redis), marker, always=False, admin_key=False)
    assert not state.is_closed() and state.is_open
    redis.hset(KEYS, "f", "{}")
    state.look()
    assert state.is_closed() and not state.is_open and marker.exists()
    marker.path.unlink()
    redis.delete(KEYS)
    state.look()
    assert state.is_closed() and not marker.exists()
    redis.hset(KEYS, "f", "{}")
    state.look()
    assert marker.exists()


def test_a_gateway_that_cannot_write_its_marker_is_closed_and_says_so_once(
    redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    redis.hset(KEYS, "f", "{}")
    state = ClosedState(Keys(redis), Marker(Path("/proc/closed")), always=False, admin_key=False)
    for _ in range(3):
        state.look()
    assert state.is_closed()
    assert [
        record.levelname for record in caplog.records if "/proc/closed cannot be written" in record.getMessage()
    ] == ["ERROR"]


def test_an_admin_key_leaves_a_marker_so_that_a_gateway_does_not_open_without_it(
    settings: Settings, redis: Redis
) -> None:
    ClosedState(Keys(redis), Marker(settings.marker), always=True, admin_key=True).look()
    problem(create_app(settings).test_client().get("/v1/models"), 401, "missing_key")


@pytest.mark.skipif(os.getuid() == 0, reason="root may search every folder")
def test_a_marker_in_a_folder_that_cannot_be_searched_counts(tmp_path: Path) -> None:
    folder = tmp_path / "locked"
    folder.mkdir(mode=0)
    assert Marker(folder / "closed").exists()


def test_other_machines_may_connect_once_there_is_a_key_or_a_marker(tmp_path: Path) -> None:
    open_to_all = Settings(host="0.0.0.0", state_dir=tmp_path)
    with pytest.raises(SettingsError, match="there are no keys to tell them apart; set ADMIN_KEY"):
        open_to_all.check_host()
    replace(open_to_all, admin_key=ADMIN_KEY).check_host()
    Marker(tmp_path / "closed").make()
    open_to_all.check_host()


@pytest.fixture
def volume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that counts as a volume of a container."""
    monkeypatch.setattr(settings_of, "outlasts_container", lambda path: path.is_relative_to(tmp_path))
    return tmp_path


def test_a_file_outlasts_its_container_on_a_volume_that_is_not_in_memory() -> None:
    assert not outlasts_container(Path("/closed"))
    with tempfile.TemporaryDirectory(dir="/dev/shm") as memory:
        assert not outlasts_container(Path(memory, "new", "closed"))
    assert outlasts_container(Path("/proc/closed"))  # another file system, as a volume is


def test_a_container_without_a_volume_for_the_marker_is_closed_by_a_setting_or_does_not_start(volume: Path) -> None:
    inside = Settings(host="0.0.0.0", state_dir=Path("/state"), publish_address="127.0.0.1")
    with pytest.raises(
        SettingsError, match=r"STATE_DIR=/state is on no volume that lasts.*ADMIN_KEY or ALLOW_ANONYMOUS=0"
    ):
        inside.check_host()
    for closed in ({"allow_anonymous": False}, {"admin_key": ADMIN_KEY}, {"allow_anonymous": True}):
        replace(inside, **closed).check_host()
    replace(inside, state_dir=volume / "new").check_host()


@pytest.mark.parametrize("address", ["0.0.0.0", "[::]", "192.0.2.1"])
def test_a_container_needs_a_key_where_its_port_is_published_to_others(volume: Path, address: str) -> None:
    inside = Settings(host="0.0.0.0", state_dir=volume, publish_address="127.0.0.1")
    inside.check_host()
    replace(inside, publish_address="[::1]").check_host()
    published = replace(inside, publish_address=address)
    with pytest.raises(SettingsError, match=f"PUBLISH_ADDRESS={re.escape(address)} lets other machines in"):
        published.check_host()
    replace(published, allow_anonymous=True).check_host()
    Marker(volume / "closed").make()
    published.check_host()
