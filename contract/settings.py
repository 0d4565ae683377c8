"""Every environment variable of Modelgate, once: name, type, default, one line of documentation.

`python -m contract.settings` prints them as `.env.example`.
"""

from __future__ import annotations

import dataclasses
import functools
import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

MB = 2**20
"""The bytes of one MB, in every setting."""


class SettingsError(Exception):
    """A setting is invalid; the message names it and says what to do."""


def _setting(default: Any, doc: str, least: int = 0, most: float = float("inf"), choices: tuple[str, ...] = ()) -> Any:
    return field(default=default, metadata={"doc": doc, "least": least, "most": most, "choices": choices})


@dataclass(frozen=True)
class Settings:
    """All settings. Entry points read them and pass them on; no other code reads the environment."""

    host: str = _setting(
        "127.0.0.1", "Address the gateway listens on. Any other than loopback needs ALLOW_ANONYMOUS=1."
    )
    port: int = _setting(8080, "Port the gateway listens on.", least=1, most=65535)
    allow_anonymous: bool = _setting(False, "1: serve callers who are not on this machine, without any key.")
    allowed_hosts: tuple[str, ...] = _setting(
        (), "Host names, besides loopback, under which the gateway answers; comma-separated."
    )
    gateway_processes: int = _setting(2, "Processes of the gateway.", least=1)
    workers: int = _setting(2, "Scorers of one worker: processes that predict.", least=1)
    worker_id: str = _setting("", "Name of this worker, the same after a restart; empty: the host's name.")
    worker_models: tuple[str, ...] = _setting((), "Models that this worker serves, comma-separated; empty: all.")
    redis_url: str = _setting("", "URL of the Redis to use; empty: `make up` starts its own.")
    redis_password_file: Path | None = _setting(
        None, "File with the password for REDIS_URL, if the URL has none; empty: no password."
    )
    redis_fsync: str = _setting(
        "everysec",
        "When the Redis of `make up` flushes to disk: everysec (a power cut loses a second or two), or always (loses"
        " nothing, slower).",
        choices=("everysec", "always"),
    )
    redis_maxmemory: str = _setting(
        "1gb",
        "Memory limit of the Redis that `make up` starts, such as 512mb or 2gb. At the limit it refuses new jobs and"
        " loses none. 0: no limit.",
    )
    models_dir: Path = _setting(Path("models"), "The model repository.")
    data_dir: Path | None = _setting(None, "Folder with training data, <model>.csv; empty: none.")
    state_dir: Path = _setting(Path(".modelgate"), "Where `make up` keeps its Redis data and logs.")
    train_on_start: tuple[str, ...] = _setting(
        ("blobs", "boston", "iris", "loan", "sepals"),
        "Recipes to train when their model is missing; none: train nothing.",
    )
    recipes_dir: Path | None = _setting(None, "Folder with recipes of your own, one Python file each; empty: none.")
    spool_dir: Path = _setting(Path(".modelgate/spool"), "Folder for uploads until they are used.")
    spool_mb: int = _setting(8192, "Largest total size of stored uploads, in MB; beyond, 507.", least=1)
    max_upload_mb: int = _setting(1024, "Largest upload, in MB; beyond, 413.", least=1)
    train_timeout: int = _setting(3600, "Longest training, in seconds; beyond, it fails.", least=1)
    train_memory_mb: int = _setting(4096, "Memory a training may take, in MB; 0: no limit.", least=0)
    keep_versions: int = _setting(10, "Versions kept of a model, besides those that an alias names.", least=1)
    warmup_timeout: int = _setting(
        30, "Longest wait for workers to load a version before its alias moves, in s.", least=1
    )
    allow_upload: bool = _setting(False, "1: take models over HTTP. A pickle is a program: off is safe.")
    pickle: str = _setting(
        "allow", "deny: load only skops artifacts, whose types are on a list.", choices=("allow", "deny")
    )
    signing_key: Path | None = _setting(
        None, "File with the private ed25519 key (PEM) with which the trainer signs manifests; empty: none."
    )
    verify_key: Path | None = _setting(
        None, "File with the public key (PEM); with it workers refuse manifests that are not signed. Empty: none."
    )
    import_keys: Path | None = _setting(
        None, "File with the public keys (PEM) that may sign files to be imported; empty: those of VERIFY_KEY."
    )
    trainer_secret: Path | None = _setting(
        None,
        "File with the secret that gateway and trainer share: the trainer obeys only what the gateway signed with it."
        " Created if it is missing; `make up` keeps it in STATE_DIR.",
    )
    max_body_mb: int = _setting(8, "Largest request body, in MB.", least=1)
    max_queue_rows: int = _setting(100_000, "Rows that may wait for one model; beyond, 503.", least=1)
    submit_timeout: int = _setting(5, "Seconds the gateway tries to hand a job to Redis; then 503.", least=1)
    max_wait: int = _setting(60, "Longest wait for a result within one request, in seconds.", least=0)
    batch_ms: int = _setting(50, "Time that scoring one batch may take, in milliseconds.", least=1)
    predict_timeout: int = _setting(30, "Longest scoring of one job, in seconds; beyond, it fails.", least=1)
    stop_grace: int = _setting(20, "Seconds a stopping process has to finish what it holds.", least=1)
    result_ttl: int = _setting(3600, "Seconds a finished job can be read.", least=1)
    model_cache_mb: int = _setting(1024, "Models one worker keeps in memory, in MB of artifacts.", least=1)
    scorer_memory_mb: int = _setting(
        4096, "Memory a scorer may take beyond the models it starts with, in MB; 0: no limit.", least=0
    )

    @classmethod
    def from_environ(cls, environ: Mapping[str, str] = os.environ) -> Settings:
        """Read the settings. Raises `SettingsError`. An empty variable is not set. `redis_url` has the password."""
        values: dict[str, Any] = {}
        for entry in dataclasses.fields(cls):
            text = environ.get(entry.name.upper(), "").strip()
            if text:
                values[entry.name] = _parse(entry, text)
        if values.get("redis_url") and "redis_password_file" in values:
            values["redis_url"] = _with_password(values["redis_url"], values["redis_password_file"])
        return cls(**values)

    @classmethod
    def variables(cls, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
        """Return the variables that `from_environ` reads of `environ`, to pass them to another process."""
        names = [entry.name.upper() for entry in dataclasses.fields(cls)]
        return {name: environ[name] for name in names if name in environ}

    def check_host(self) -> None:
        """Raise `SettingsError` if other machines could connect and ALLOW_ANONYMOUS is not set."""
        if not is_loopback(self.host) and not self.allow_anonymous:
            raise SettingsError(
                f"HOST={self.host} lets other machines in, and there are no keys to tell them apart;"
                " set ALLOW_ANONYMOUS=1 if that is meant"
            )


@functools.lru_cache(maxsize=1024)
def is_loopback(host: str) -> bool:
    """Whether `host`, a name or an address, can only mean this machine."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _parse(entry: dataclasses.Field[Any], text: str) -> object:
    name, kind = entry.name.upper(), entry.type
    if kind == "int":
        least, most = entry.metadata["least"], entry.metadata["most"]
        try:
            number = int(text)
        except ValueError:
            raise SettingsError(f"{name}={text!r} is not a whole number") from None
        if number < least:
            raise SettingsError(f"{name}={number} is too small; the least is {least}")
        if number > most:
            raise SettingsError(f"{name}={number} is too large; the most is {most}")
        return number
    if kind == "bool":
        if text.lower() not in ("0", "1", "true", "false"):
            raise SettingsError(f"{name}={text!r} is neither 1 nor 0")
        return text.lower() in ("1", "true")
    if kind == "tuple[str, ...]":
        return () if text == "none" else tuple(part.strip() for part in text.split(",") if part.strip())
    choices = entry.metadata["choices"]
    if choices and text not in choices:
        raise SettingsError(f"{name}={text!r} is not one of {', '.join(choices)}")
    if name == "REDIS_MAXMEMORY" and not re.fullmatch(r"\d{1,15}([kmg]b?|b)?", text, re.IGNORECASE):
        raise SettingsError(f"{name}={text!r} is not a size; write one as 512mb or 2gb")
    return Path(text) if "Path" in str(kind) else text


def _with_password(url: str, file: Path) -> str:
    try:
        password = file.read_text().strip()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise SettingsError(f"REDIS_PASSWORD_FILE={file} cannot be read ({reason})") from error
    if not password:
        raise SettingsError(f"REDIS_PASSWORD_FILE={file} is empty; put the password for REDIS_URL into it")
    parts = urlsplit(url)
    user, _, host = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"{user.partition(':')[0]}:{quote(password, safe='')}@{host}").geturl()


COMPOSE = (
    ("UID", "1000", "Who owns the model repository (`id -u`): the services in containers run as this user."),
    ("GID", "1000", "The group of that user (`id -g`)."),
)
"""Variables that only docker-compose.yml reads: name, default, documentation."""


def example() -> str:
    """Return the text of `.env.example`: each variable with its documentation and its default."""
    lines = [
        "# Every setting with its default. Copy to .env for docker compose, or export what you change.",
        "# One MB is 2**20 bytes.",
        "",
    ]
    for entry in dataclasses.fields(Settings):
        default = entry.default
        if isinstance(default, tuple):
            default = ",".join(default)
        elif isinstance(default, bool):
            default = int(default)
        lines += [f"# {entry.metadata['doc']}", f"# {entry.name.upper()}={'' if default is None else default}", ""]
    lines += ["# Only docker compose:", ""]
    for name, default, doc in COMPOSE:
        lines += [f"# {doc}", f"# {name}={default}", ""]
    return "\n".join(lines[:-1]) + "\n"


if __name__ == "__main__":
    print(example(), end="")
