"""Points in time as people name them: 2h, 7d, tuesday, 2026-01-02."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from modelgate.command.exits import ExitCode, Failed

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_AGO = re.compile(r"([0-9]{1,6})([smhdw])", re.ASCII)
_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


def point(option: str, text: str | None) -> str | None:
    """Return a point in time in RFC 3339: `2h` is two hours ago, `tuesday` the beginning of the last one, here."""
    if text is None:
        return None
    if ago := _AGO.fullmatch(text):
        return _rfc3339(datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])}))
    if (days := _days_ago(text.lower())) is not None:
        today = datetime.now().astimezone().replace(hour=0, minute=0, second=0, microsecond=0)
        return _rfc3339(today - timedelta(days=days))
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        message = f"{option} {text!r} is not a time; write it as 2h, 7d, tuesday or 2026-01-02T03:04:05Z"
        raise Failed(message, ExitCode.USAGE) from None
    return _rfc3339(time if time.tzinfo else time.astimezone())


def _days_ago(text: str) -> int | None:
    """Return how many days ago a day was that has this name; today has its own name, too."""
    if text in ("today", "yesterday"):
        return ("today", "yesterday").index(text)
    return (datetime.now().weekday() - _DAYS.index(text)) % 7 if text in _DAYS else None


def _rfc3339(time: datetime) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
