"""The log of a process: one line an event, for a reader or as JSON (`LOG_FORMAT`), from `LOG_LEVEL` on.

Context goes along with an event: `log.warning("…", extra={"job_id": …, "model": …, "version": …})`. So does its `kind`,
if many alike may come at once, such as refusals in an outage.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Any, TextIO

from contract.settings import LOG_FORMATS, LOG_LEVELS
from contract.work.api_keys import without_keys

ACCESS = "gateway.access"
"""The logger of requests, which limits its lines itself."""

AUDIT = "audit"
"""The logger of the audit log, which may leave nothing out."""

OURS = (
    *(
        AUDIT,
        "broker",
        "contract",
        "events",
        "gateway",
        "launcher",
        "mirror",
        "modelgate_kernels",
        "observer",
        "runtime",
        "scoring",
    ),
    *("storage", "trainer", "worker"),
)
"""The loggers that follow `LOG_LEVEL`. Libraries log from WARNING on."""

LONGEST_MESSAGE, LONGEST_VALUE, LONGEST_EXCEPTION = 16_384, 512, 16_384
"""Characters of each part of a line; longer ones are cut."""

_NO_CONTEXT = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "kind"}
_IN_MESSAGE = frozenset({"method", "path", "status"})
"""Context that the message of an access line has already."""

LINES_A_SECOND = 100
"""Lines that a statement may have in a second. Of those left out, the last one follows with their number."""

KIND_EVERY = 60.0
"""Seconds in which a statement has one line for events of one `kind`, and for exceptions raised in one place. A client
may cause one with every request, and a traceback takes up to 16 KB."""

_PLACES = 1_000
"""Kinds of events that are counted; then counting begins anew. Only code that a model brings has so many."""

_CREDENTIALS = re.compile(r"(?<=://)([^\s/@:]*):\S*@")


_contexts: list[Callable[[], Mapping[str, object]]] = []


def add_context(current: Callable[[], Mapping[str, object]]) -> None:
    """Add to every line what `current` returns: the context of what this thread or greenlet does now."""
    if current not in _contexts:
        _contexts.append(current)


def configure(service: str, stream: TextIO | None = None, *, command: bool = False) -> None:
    """Log to `stream` (default: standard error) in the name of `service`, warnings and uncaught exceptions included.

    Reads the environment itself, since an invalid setting is an event of the log, too. A `command` logs for the person
    who typed it: in text its lines have neither time nor level, and it ends with Python's traceback.
    """
    as_json = _setting("LOG_FORMAT", LOG_FORMATS) == "json"
    level = _setting("LOG_LEVEL", LOG_LEVELS).upper()
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.addFilter(FloodFilter())
    handler.setFormatter(JsonLines(service) if as_json else TextLines(service, command))
    logging.basicConfig(
        handlers=[handler], level=max(logging.getLevelNamesMapping()[level], logging.WARNING), force=True
    )
    for name in OURS:
        logging.getLogger(name).setLevel(level)
    if not command:
        warnings.showwarning = _log_warning
        sys.excepthook = _log_uncaught
        threading.excepthook = _log_uncaught_in_thread
        sys.unraisablehook = _log_unraisable


def _setting(name: str, choices: tuple[str, ...]) -> str:
    """Return the setting, or its default if it is invalid, which `Settings` reports."""
    value = os.environ.get(name, "").strip()
    return value if value in choices else choices[0]


class TextLines(logging.Formatter):
    """`2026-01-02T03:04:05.678Z INFO worker: message key=value`, and the lines of an exception below, indented.

    Nothing in an event can begin a line of its own or send a terminal commands.
    """

    def __init__(self, service: str, command: bool = False) -> None:
        super().__init__()
        self._service = service
        self._command = command

    def format(self, record: logging.LogRecord) -> str:
        head = "" if self._command else f"{_time(record)} {record.levelname} "
        line = f"{head}{self._service}: {printable(_message(record))}"
        if not self._command:
            line += "".join(f" {key}={_text(value)}" for key, value in _context(record) if key not in _IN_MESSAGE)
        exception = _exception(record)
        return without_keys(line + "".join(f"\n    {printable(text)}" for text in exception.splitlines()))


class JsonLines(logging.Formatter):
    """One JSON object a line, in ASCII: `time`, `level`, `service`, `logger`, `message`, context, `exception`."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        event: dict[str, Any] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "service": self._service,
            "logger": record.name,
            "message": _message(record),
        }
        for key, value in _context(record):
            event[key] = value if isinstance(value, int | float) else str(value)[:LONGEST_VALUE]
        if exception := _exception(record):
            event["exception"] = exception
        return without_keys(json.dumps(event))


class LineQuota:
    """Allows `most` lines in `seconds` and counts those beyond."""

    __slots__ = ("_left", "_most", "_seconds", "end", "last", "left_out")

    def __init__(self, most: int, seconds: float = 1.0) -> None:
        self._most = most
        self._seconds = seconds
        self._left = 0
        self.end = 0.0
        """When its time is over, and another begins; monotonic."""
        self.left_out = 0
        """The lines that it has not allowed; the caller that logs the number sets it to 0."""
        self.last: logging.LogRecord | None = None
        """The last event that was left out."""

    def take(self) -> bool:
        """Return whether one more line is allowed now."""
        now = time.monotonic()
        if now >= self.end:
            self.end, self._left = now + self._seconds, self._most
        if self._left:
            self._left -= 1
            return True
        self.left_out += 1
        return False


class FloodFilter(logging.Filter):
    """Keeps events from flooding the log: all that one statement logs, and of these all of one `kind`, and all
    exceptions of one place."""

    def __init__(self) -> None:
        super().__init__()
        self._quotas: dict[tuple[object, ...], LineQuota] = {}
        self._report_at = 0.0

    def filter(self, record: logging.LogRecord) -> bool:
        self.report_left_out()
        if record.name in (ACCESS, AUDIT):
            return True
        statement = record.pathname, record.lineno
        quotas = [self._quota(statement, LINES_A_SECOND, 1.0)]
        if kind := getattr(record, "kind", None) or _place(record):
            quotas.append(self._quota((*statement, kind), 1, KIND_EVERY))
        for quota in reversed(quotas):
            if not quota.take():
                quota.last = record
                return False
        return True

    def report_left_out(self) -> None:
        """Log the last event of each kind that was left out, once its time is over, with the number of those before."""
        now = time.monotonic()
        if now < self._report_at:
            return
        self._report_at = now + 1.0
        for quota in list(self._quotas.values()):
            if quota.last and now >= quota.end:
                record, quota.last = quota.last, None
                record.left_out, quota.left_out = quota.left_out - 1 or None, 0
                logging.getLogger(record.name).handle(record)

    def _quota(self, kind: tuple[object, ...], most: int, seconds: float) -> LineQuota:
        if kind not in self._quotas:
            if len(self._quotas) >= _PLACES:
                self._quotas.clear()
            self._quotas[kind] = LineQuota(most, seconds)
        return self._quotas[kind]


def report_left_out() -> None:
    """Log what was left out (`FloodFilter`). Call it every few seconds: no other line may come for hours."""
    for handler in logging.getLogger().handlers:
        for flood in handler.filters:
            if isinstance(flood, FloodFilter):
                flood.report_left_out()


def _place(record: logging.LogRecord) -> tuple[object, ...]:
    """Return where the exception of an event was raised; () if there is none, or it was not raised."""
    trace = record.exc_info[2] if record.exc_info else None
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return () if trace is None else (trace.tb_frame.f_code.co_filename, trace.tb_lineno)


def printable(text: str) -> str:
    """Return `text` with all control characters, line ends and invisible characters escaped."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text
    )


def _time(record: logging.LogRecord) -> str:
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(record.created))}.{int(record.msecs):03d}Z"


def _message(record: logging.LogRecord) -> str:
    return _without_passwords(record.getMessage(), LONGEST_MESSAGE)


def _context(record: logging.LogRecord) -> Iterable[tuple[str, Any]]:
    context = {key: value for key, value in vars(record).items() if key not in _NO_CONTEXT}
    for current in _contexts:
        context |= {key: value for key, value in current().items() if key not in context}
    return ((key, value) for key, value in context.items() if value is not None)


def _text(value: object) -> str:
    """Return a value for a line of text, quoted if it has spaces or quotes: `model="a b"`."""
    text = str(value)[:LONGEST_VALUE]
    return (
        printable(text) if text and not re.search(r'[\s"=]', text) else printable(json.dumps(text, ensure_ascii=False))
    )


def _exception(record: logging.LogRecord) -> str:
    """Return the traceback, or the end of a long one."""
    if not record.exc_info or record.exc_info[0] is None:
        return ""
    return _without_passwords(logging.Formatter().formatException(record.exc_info)[-LONGEST_EXCEPTION:])


def _without_passwords(text: str, most: int | None = None) -> str:
    """Return `text`, cut, without the passwords of URLs: `redis://user:***@host`."""
    if most is not None and len(text) > most:
        text = text[:most] + "…"
    return _CREDENTIALS.sub(r"\1:***@", text) if "://" in text else text


def _log_warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, *_: object, **__: object
) -> None:
    logging.getLogger("py.warnings").warning("%s: %s (%s:%d)", category.__name__, message, filename, lineno)


def _log_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    logging.critical("the process ends with %s", kind.__name__, exc_info=(kind, error, trace))


def _log_uncaught_in_thread(args: threading.ExceptHookArgs) -> None:
    error = args.exc_value or args.exc_type()
    logging.error("a thread ends with %s", args.exc_type.__name__, exc_info=(args.exc_type, error, args.exc_traceback))


def _log_unraisable(args: Any) -> None:
    what = args.err_msg or "an exception is ignored"
    logging.warning("%s: %r", what, args.object, exc_info=(args.exc_type, args.exc_value, args.exc_traceback))
