"""`python -m gateway key …`: makes, lists, changes, rotates and revokes API keys, in Redis itself and without a key."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from redis.exceptions import RedisError

from broker.access.audit_log import COMMAND_LINE, AuditEntry, AuditLog
from broker.access.key_store import IssuedKey, Keys
from broker.link.connection import connect
from broker.link.faults import fault_of
from broker.link.scripts import Durability
from contract.errors import SettingsError
from contract.model.repository import Repository
from contract.redis_url import own_redis, without_passwords
from contract.settings import Settings
from contract.work.api_keys import Key, Scope
from gateway.problems import Problem
from gateway.protocols.key_requests import key_change, key_request, rotation_request
from gateway.serving.key_management import KeyAdmin
from gateway.serving.marker import Marker

FAILED, USAGE_ERROR = 1, 2
TIMEOUT = 5.0
"""Seconds that Redis has for each step."""

_FIRST = "this is the first key: from now on no request passes without one, but for /health/live and /health/ready"


def main(arguments: Sequence[str]) -> int:
    """Print what was asked for; a secret alone on standard output. Returns 1 after a failure, 2 for invalid
    arguments."""
    options = _parser().parse_args(arguments)
    try:
        settings = Settings.from_environ()
        url = settings.redis_url or own_redis(settings.state_dir)
        if not url:
            raise SettingsError(
                f"keys are in Redis, and no Modelgate runs with STATE_DIR={settings.state_dir}; start it with `make"
                " up`, or set STATE_DIR or REDIS_URL as at its start (in containers: docker compose exec gateway python"
                " -m gateway key)"
            )
        settings = replace(settings, redis_url=url)
        return int(options.run(_Installation.of(settings), options))
    except (SettingsError, ValueError) as error:
        return _fail([str(error)], USAGE_ERROR)
    except Problem as refusal:
        errors: Any = refusal.members.get("errors")
        return _fail([error["message"] for error in errors] if errors else [refusal.detail], USAGE_ERROR)
    except RedisError as error:
        shown = without_passwords(settings.redis_url)
        return _fail([f"{fault_of(error).message} (the Redis at {shown}: {error})"], FAILED)


@dataclass(frozen=True)
class _Installation:
    admin: KeyAdmin
    marker: Marker
    audit: AuditLog
    open: bool
    """Whether no setting says that requests need a key."""

    @classmethod
    def of(cls, settings: Settings) -> _Installation:
        connection = connect(settings.redis_url, TIMEOUT)
        durability = Durability(settings.redis_replicas, TIMEOUT)
        marker = Marker(settings.marker)
        audit = AuditLog(connection, settings.retention.audit_days, durability)
        repository, admin_key = Repository(settings.models_dir), bool(settings.admin_key)
        admin = KeyAdmin(Keys(connection, durability), marker, repository, admin_key)
        return cls(admin, marker, audit, not settings.always_closed)

    def note(self, action: str, key: Key) -> None:
        """Add what was done to the audit log, and say so if that fails."""
        if missing := self.audit.add(AuditEntry(action, COMMAND_LINE, owner=key.owner, on_key=key.id)):
            _say(f"the audit log does not have this ({missing})")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m gateway key", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="add | list | change | rotate | revoke")
    add = commands.add_parser("add", help="make a key and print it, once")
    add.add_argument("--name", required=True, help="the name of the key, which no other has")
    add.add_argument("--scopes", required=True, metavar="A,B", help=", ".join(Scope))
    add.add_argument("--models", metavar="A,B", help="the models that it may use (default: all)")
    add.add_argument("--owner", help="who owns its jobs (default: its name)")
    add.add_argument(
        "--user",
        metavar="ann@corp.com",
        help="the person who gets these rights when TRUSTED_USER_HEADER"
        " names them (*: everybody without an entry); such an entry has no key",
    )
    add.add_argument("--limits", metavar="rows_per_second=100,…", help="what it may take (default: no limits)")
    add.add_argument("--detail", help="full or terse errors (default: terse without the scope read)")
    add.add_argument("--expires", metavar="90d", help="when it expires (default: never)")
    add.set_defaults(run=_add)
    commands.add_parser("list", help="list the keys").set_defaults(run=_list)
    change = commands.add_parser("change", help="change a key; what is not named stays")
    change.add_argument("name", help="the name or the id of the key")
    change.add_argument("--scopes", metavar="A,B", help="what it may do from now on, in all")
    change.add_argument("--models", metavar="A,B", help="the models that it may use from now on, in all")
    change.add_argument("--all-models", action="store_true", help="it may use all models")
    change.add_argument("--limits", metavar="rows_per_second=100,…", help="limits, or NAME=none; the others stay")
    change.add_argument("--detail", help="full or terse errors")
    change.add_argument("--expires", metavar="90d", help="when it expires, or never")
    change.set_defaults(run=_change)
    rotate = commands.add_parser("rotate", help="give a key a new secret and print it, once")
    rotate.add_argument("name", help="the name or the id of the key")
    rotate.add_argument("--overlap", metavar="1h", help="how long the old secret still works (default: not at all)")
    rotate.add_argument("--expires", metavar="90d", help="when it expires (default: as before)")
    rotate.set_defaults(run=_rotate)
    revoke = commands.add_parser("revoke", help="remove a key")
    revoke.add_argument("name", help="the name or the id of the key")
    revoke.set_defaults(run=_revoke)
    return parser


def _add(here: _Installation, options: argparse.Namespace) -> int:
    key = key_request({"name": options.name, "owner": options.owner, "user": options.user, **_rights(options)})
    first = here.open and not here.marker.exists()
    issued, secret = here.admin.make(key)
    if secret is None:
        _say(f"{key.user} has the rights {key.name} ({key.id}) when your proxy signs them in")
    else:
        _print_secret(issued, secret, _FIRST if first else None)
    for warning in here.admin.warnings([key])[0]:
        _say(warning)
    here.note("make_key", key)
    return 0


def _list(here: _Installation, _: argparse.Namespace) -> int:
    rows = [("NAME", "ID", "OWNER", "SCOPES", "MODELS", "EXPIRES", "LAST USED", "USER")]
    for issued in here.admin.all():
        key = issued.key
        scopes, models = ",".join(sorted(key.scopes)), "all" if key.models is None else ",".join(sorted(key.models))
        times = (_minute(key.expires_at, "never"), _minute(issued.current.last_used_at, "never"))
        rows.append((key.name, key.id, key.owner, scopes, models, *times, key.user or ""))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    return 0


def _change(here: _Installation, options: argparse.Namespace) -> int:
    body = {name: value for name, value in _rights(options).items() if value is not None}
    if options.all_models:
        body["models"] = None
    if options.expires == "never":
        body["expires"] = None
    key = here.admin.change(here.admin.named(options.name).key.id, key_change(body)).key
    _say(f"the key {key.name} ({key.id}) is changed; gateways take it so within seconds")
    for warning in here.admin.warnings([key])[0]:
        _say(warning)
    here.note("change_key", key)
    return 0


def _rotate(here: _Installation, options: argparse.Namespace) -> int:
    rotation = rotation_request({"overlap": options.overlap, "expires": options.expires})
    key = here.admin.named(options.name).key
    issued, secret = here.admin.rotate(key.id, rotation.overlap, rotation.expires_at)
    until = issued.previous and issued.previous.key.expires_at
    _print_secret(issued, secret, f"the old secret works until {_minute(until, '')}" if until else None)
    here.note("rotate_key", key)
    return 0


def _revoke(here: _Installation, options: argparse.Namespace) -> int:
    key = here.admin.named(options.name).key
    here.admin.revoke(key.id)
    _say(f"the key {key.name} ({key.id}) is revoked; gateways refuse it within seconds")
    here.note("revoke_key", key)
    return 0


def _print_secret(issued: IssuedKey, secret: str, remark: str | None) -> None:
    key = issued.key
    expires = "" if key.expires_at is None else f", expires {_minute(key.expires_at, '')}"
    _say(f"the key {key.name} ({key.id}) of {key.owner}{expires}; it is shown only now:")
    print(secret, flush=True)
    if remark:
        _say(remark)


def _rights(options: argparse.Namespace) -> dict[str, object]:
    """Return what the options say of a key that may be changed, None for what they do not say."""
    return {
        "scopes": _listed(options.scopes),
        "models": _listed(options.models),
        "limits": _limits(options.limits),
        "detail": options.detail,
        "expires": options.expires,
    }


def _listed(text: str | None) -> list[str] | None:
    return None if text is None else [part.strip() for part in text.split(",") if part.strip()]


def _limits(text: str | None) -> dict[str, object] | None:
    """Return the limits of `rows_per_second=100,rows_waiting=1000`. A value that is not a number stays text, which
    `key_request` refuses."""
    if text is None:
        return None
    pairs = [(name.strip(), value.strip()) for name, _, value in (part.partition("=") for part in text.split(","))]
    return {name: int(value) if value.isdecimal() else None if value == "none" else value for name, value in pairs}


def _minute(time: str | None, otherwise: str) -> str:
    return otherwise if time is None else f"{time[:16]}Z"


def _say(message: str) -> None:
    print(f"modelgate: {message}", file=sys.stderr)


def _fail(messages: Sequence[str], status: int) -> int:
    for message in messages:
        _say(message)
    return status
