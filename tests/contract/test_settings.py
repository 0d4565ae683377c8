"""Settings: parsed once, documented once."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from contract.settings import Settings, SettingsError, example
from tests.support import PROJECT


def test_env_example_holds_every_setting_with_its_default() -> None:
    assert (PROJECT / ".env.example").read_text() == example(), "run: python -m contract.settings > .env.example"


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
    ],
)
def test_a_variable_that_cannot_be_used_is_named(variable: str, text: str) -> None:
    with pytest.raises(SettingsError, match=rf"{variable}.*{text}"):
        Settings.from_environ({variable: text})


def test_docker_compose_passes_on_every_setting_that_is_not_its_own() -> None:
    own = {"allow_anonymous", "data_dir", "host", "port", "redis_fsync", "redis_url", "state_dir", "worker_id"}
    own |= {"recipes_dir", "signing_key", "verify_key", "import_keys"}
    passed = re.findall(r"^  ([A-Z_]+):", (PROJECT / "docker-compose.yml").read_text(), re.MULTILINE)
    assert sorted(passed) == sorted(
        field.name.upper() for field in dataclasses.fields(Settings) if field.name not in own
    )
