"""Settings: parsed once, documented once."""

from __future__ import annotations

import ast
import dataclasses
import re
from pathlib import Path

import pytest

from contract.env_example import example
from contract.errors import SettingsError
from contract.setting_fields import SERVICES
from contract.settings import MB, Settings
from contract.work.api_keys import new_token
from tests.support import PROJECT


def test_env_example_holds_every_setting_with_its_default() -> None:
    assert (PROJECT / ".env.example").read_text() == example(), "run: python -m contract.env_example > .env.example"


def test_no_variable_and_an_empty_one_mean_the_default() -> None:
    assert Settings.from_environ({}) == Settings.from_environ({"PORT": "", "DATA_DIR": " "}) == Settings()


def test_variables_are_parsed_by_type() -> None:
    settings = Settings.from_environ(
        {
            "PORT": "9",
            "ALLOW_ANONYMOUS": "1",
            "DATA_DIR": "/d",
            "TRAIN_ON_START": "iris, loan",
            "REDIS_URL": "redis://h",
        }
    )
    assert (settings.port, settings.allow_anonymous, settings.data_dir) == (9, True, Path("/d"))
    assert (settings.train_on_start, settings.redis_url) == (("iris", "loan"), "redis://h")


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("tcp://10.0.0.7:8786", "has no TLS, so everybody who reaches the scheduler can run code"),
        ("tcp://scheduler:8786", "write tls://scheduler:8786"),
        ("ws://127.0.0.1:8786", "is no address of a scheduler"),
        ("scheduler:8786", "is no address of a scheduler"),
        ("tls://scheduler", "is no address of a scheduler"),
        ("tls://scheduler:87867", "is no address of a scheduler"),
        ("tls://scheduler:8786/x", "is no address of a scheduler"),
    ],
)
def test_a_cluster_where_others_could_run_code_is_refused(address: str, words: str) -> None:
    with pytest.raises(SettingsError, match=f"TRAIN_CLUSTER.*{words}"):
        Settings.from_environ({"TRAIN_CLUSTER": address})


@pytest.mark.parametrize("address", ["tls://scheduler:8786", "tls://[fd00::7]:8786", "tcp://127.0.0.1:8786"])
def test_a_cluster_with_tls_or_on_this_machine_is_used(address: str) -> None:
    assert Settings.from_environ({"TRAIN_CLUSTER": address}).train_cluster == address


def test_a_list_can_be_none() -> None:
    assert Settings.from_environ({"TRAIN_ON_START": "none"}).train_on_start == ()


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("PORT", "http"),
        ("PORT", "0"),
        ("PORT", "65536"),
        ("WORKERS", "-1"),
        ("ALLOW_ANONYMOUS", "maybe"),
        ("REDIS_FSYNC", "no"),
        ("REDIS_MAXMEMORY", "lots"),
        ("REDIS_MAXMEMORY", "1gb --requirepass x"),
    ],
)
def test_an_invalid_variable_is_named(variable: str, text: str) -> None:
    with pytest.raises(SettingsError, match=rf"{variable}.*{text}"):
        Settings.from_environ({variable: text})


@pytest.mark.parametrize(
    ("url", "whole"),
    [
        ("redis://gateway@redis:6379/1", "redis://gateway:p%2F%40@redis:6379/1"),
        ("rediss://redis", "rediss://:p%2F%40@redis"),
        ("unix://worker@/run/redis.sock?db=2", "unix://worker:p%2F%40@/run/redis.sock?db=2"),
        ("", ""),
    ],
)
def test_a_password_in_a_file_becomes_part_of_the_url(tmp_path: Path, url: str, whole: str) -> None:
    (tmp_path / "password").write_text("p/@\n")
    environ = {"REDIS_URL": url, "REDIS_PASSWORD_FILE": str(tmp_path / "password")}
    assert Settings.from_environ(environ).redis_url == whole


def test_a_file_without_a_password_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    for name, said in (("none", "cannot be read .No such file"), ("empty", "is empty; put the secret")):
        with pytest.raises(SettingsError, match=f"REDIS_PASSWORD_FILE={tmp_path / name} {said}"):
            Settings.from_environ({"REDIS_URL": "redis://h", "REDIS_PASSWORD_FILE": str(tmp_path / name)})


FOLDERS = ("bench", "broker", "contract", "gateway", "launcher", "runtime", "scoring", "trainer", "worker")


def sizes_in_another_unit(source: str) -> list[str]:
    """Return the calculations with a size in MB that use another number of bytes than `MB`; an eighth is fine."""
    tree = ast.parse(source)
    parts = [(node, node.left, node.right) for node in ast.walk(tree) if isinstance(node, ast.BinOp)]
    return [
        ast.unparse(node)
        for node, left, right in parts
        for size, unit in ((left, right), (right, left))
        if re.search(r"(_mb|megabytes\w*)$", ast.unparse(size)) and ast.unparse(unit) not in ("MB", "8")
    ]


def test_a_size_in_mb_is_counted_in_the_same_unit_everywhere() -> None:
    assert MB == 1_048_576
    assert sizes_in_another_unit("settings.spool_mb * 1_000_000") == ["settings.spool_mb * 1000000"]
    assert sizes_in_another_unit("megabytes // 1024; megabytes * MB") == ["megabytes // 1024"]
    files = [path for folder in FOLDERS for path in (PROJECT / folder).rglob("*.py")]
    texts = {path: text for path in files if "mb" in (text := path.read_text()) or "megabytes" in text}
    assert {str(path): sizes for path, text in texts.items() if (sizes := sizes_in_another_unit(text))} == {}
    assert "One MB is 2**20 bytes" in example()


def test_an_issued_key_is_no_admin_key() -> None:
    """Its holder could do everything then, and revoking it would change nothing."""
    with pytest.raises(SettingsError, match="ADMIN_KEY has the form of an issued key"):
        Settings.from_environ({"ADMIN_KEY": new_token()})


@pytest.mark.parametrize("file", ["docker-compose.yml", "compose.scale.yml"])
def test_gateways_in_containers_know_where_their_port_is_published(file: str) -> None:
    """Or they could not tell that other machines reach them without a key."""
    text = (PROJECT / file).read_text()
    published = re.findall(r'ports: \["(.*?):\$\{PORT:-8080\}:8080"\]', text)
    assert published and re.findall(r'PUBLISH_ADDRESS: "?([^"\n]+)', text) == published
    assert "ALLOW_ANONYMOUS: 1" not in text


def test_docker_compose_passes_on_every_setting_that_is_not_its_own() -> None:
    not_passed = {
        "admin_key",
        "allow_anonymous",
        "data_dir",
        "host",
        "import_keys",
        "port",
        "recipes_dir",
        "redis_password_file",
        "redis_url",
        "routes_file",
        "signing_key",
        "verify_key",
        "webhook_secret",
    }
    passed = re.findall(r"^  ([A-Z_]+):", (PROJECT / "docker-compose.yml").read_text(), re.MULTILINE)
    settings = [field for field in dataclasses.fields(Settings) if field.metadata["section"] == SERVICES]
    assert len(settings) <= 52
    assert sorted(passed) == sorted(
        ["OTEL_EXPORTER_OTLP_ENDPOINT", *(field.name.upper() for field in settings if field.name not in not_passed)]
    )


def test_every_secret_may_be_in_a_file(tmp_path: Path) -> None:
    secrets = [entry.name for entry in dataclasses.fields(Settings) if entry.metadata["secret"]]
    assert {"admin_key", "webhook_secret"} <= set(secrets)
    (file := tmp_path / "secret").write_text("s" * 64 + "\n")
    for name in secrets:
        variable = f"{name.upper()}_FILE"
        environ = {variable: str(file)}
        assert getattr(Settings.from_environ(environ), name) == "s" * 64
        assert Settings.variables(environ) == environ
        with pytest.raises(SettingsError, match=f"{name.upper()} and {variable} are both set; keep one"):
            Settings.from_environ({**environ, name.upper(): "s" * 64})


@pytest.mark.parametrize(
    ("content", "words"), [(None, "cannot be read"), ("\n", "is empty"), ("short", "is too short")]
)
def test_a_file_without_a_usable_secret_is_refused(tmp_path: Path, content: str | None, words: str) -> None:
    file = tmp_path / "admin.key"
    if content is not None:
        file.write_text(content)
    with pytest.raises(SettingsError, match=f"ADMIN_KEY.*{words}"):
        Settings.from_environ({"ADMIN_KEY_FILE": str(file)})


def test_compose_mounts_the_file_of_each_secret_that_it_passes() -> None:
    compose = (PROJECT / "docker-compose.yml").read_text()
    secrets = [entry.name.upper() for entry in dataclasses.fields(Settings) if entry.metadata["secret"]]
    passed = {name for name in secrets if re.search(rf"^ +{name}:$", compose, re.MULTILINE)}
    assert passed == {"ADMIN_KEY", "WEBHOOK_SECRET"}
    for name in passed:
        (path,) = re.findall(rf"^ +{name}_FILE: \${{{name}_FILE:\+(.+)}}$", compose, re.MULTILINE)
        assert f'source: "${{{name}_FILE:-/dev/null}}", target: {path} }}' in compose


def test_env_example_holds_every_variable_of_the_compose_files() -> None:
    files = (PROJECT / "docker-compose.yml", *PROJECT.glob("compose.*.yml"))
    used = {name for file in files for name in re.findall(r"\$\{([A-Z_]+)", file.read_text())}
    assert used
    assert {name for name in used if f"# {name}=" not in example()} == set()
