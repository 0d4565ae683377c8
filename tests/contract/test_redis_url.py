"""URLs that name Sentinels: read once, with the passwords where they belong."""

from __future__ import annotations

from pathlib import Path

import pytest
from redis.connection import SSLConnection

from broker.link.connection import connect
from contract.errors import SettingsError
from contract.redis_url import SentinelUrl, without_passwords
from contract.settings import Settings


def test_a_url_names_sentinels_and_the_primary() -> None:
    url = "redis+sentinel://me:p%40@one:1,two,[::1]:3/main/2?health_check_interval=5&sentinel_username=s&sentinel_password=q"
    assert SentinelUrl.parse(url) == SentinelUrl(
        [("one", 1), ("two", 26379), ("::1", 3)],
        "main",
        "redis://me:p%40@sentinel/2?health_check_interval=5",
        "s",
        "q",
    )


@pytest.mark.parametrize("url", ["redis://h:6379/0", "rediss://h", "unix:///run/redis.sock"])
def test_a_url_of_a_server_is_left_to_redis_py(url: str) -> None:
    assert SentinelUrl.parse(url) is None


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("redis+sentinel://h", "it names no primary"),
        ("redis+sentinel://h/", "it names no primary"),
        ("redis+sentinel://h/main/x", "it names no primary"),
        ("redis+sentinel:///main", "'' is not the address of a Sentinel"),
        ("redis+sentinel://a:secret@h:0/main", "'h:0' is not"),
        ("redis+sentinel://a:secret@h:99999/main", "'h:99999' is not"),
        ("redis+sentinel://a:secret@h,/main", "'' is not"),
        ("redis+sentinel://::1/main", "'::1' is not"),
    ],
)
def test_an_invalid_url_is_refused_without_its_password(url: str, reason: str) -> None:
    with pytest.raises(SettingsError, match=r"REDIS_URL is invalid: .*write it like redis") as refused:
        Settings.from_environ({"REDIS_URL": url})
    assert reason in str(refused.value)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("options", "login"),
    [
        ("?sentinel_username=gateway", ("gateway", "redis/@&")),
        ("?sentinel_username=gateway&sentinel_password=other", ("gateway", "other")),
        ("", (None, None)),
    ],
)
def test_the_password_in_the_file_is_for_redis_and_for_sentinels_with_a_user(
    tmp_path: Path, options: str, login: tuple[str | None, str | None]
) -> None:
    """A Sentinel without users refuses a password."""
    (tmp_path / "redis").write_text("redis/@&\n")
    environ = {
        "REDIS_URL": f"redis+sentinel://gateway@a:1,b:2/main{options}",
        "REDIS_PASSWORD_FILE": str(tmp_path / "redis"),
    }
    settings = Settings.from_environ(environ)
    assert settings.expected["sentinels"] == 2
    url = SentinelUrl.parse(settings.redis_url)
    assert url and (url.user, url.password) == login
    assert url.redis_url == "redis://gateway:redis%2F%40%26@sentinel/0"
    pool = connect(settings.redis_url).connection_pool
    assert pool.connection_kwargs["password"] == "redis/@&"


def test_tls_holds_for_redis_and_for_the_sentinels() -> None:
    pool = connect("rediss+sentinel://h/main?ssl_ca_certs=/ca.pem").connection_pool
    of_sentinel = pool.sentinel_manager.sentinels[0].connection_pool
    for tls_pool in (pool, of_sentinel):
        assert issubclass(tls_pool.connection_class, SSLConnection)
        assert tls_pool.connection_kwargs["ssl_ca_certs"] == "/ca.pem"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://h:6379/0", "redis://h:6379/0"),
        ("redis://u:p@h", "redis://u:***@h"),
        ("redis://:p@h", "redis://:***@h"),
        (
            "redis+sentinel://u:p@h,i/m?sentinel_password=q&x=1",
            "redis+sentinel://u:***@h,i/m?sentinel_password=***&x=1",
        ),
        ("redis://h?password=p", "redis://h?password=***"),
    ],
)
def test_a_message_shows_a_url_without_passwords(url: str, shown: str) -> None:
    assert without_passwords(url) == shown
