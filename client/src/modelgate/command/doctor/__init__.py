"""The verb `doctor`: what is wrong with an installation, a connection or this machine, and what to do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

import typer
from rich.text import Text

from modelgate import profiles
from modelgate.command.doctor import address, machine, service
from modelgate.command.doctor.findings import Finding, Severity, Stop
from modelgate.command.exits import ExitCode
from modelgate.command.session import Session
from modelgate.text import visible

_MARKS = {Severity.GOOD: ("✓", "green"), Severity.DOUBT: ("!", "yellow"), Severity.BAD: ("✗", "red")}


def doctor(session: Session) -> None:
    """Find out what is wrong with the connection, with Modelgate, or with this machine before a start."""
    findings = []
    for finding in _examine(session):
        findings.append(finding)
        if not session.as_json:
            mark, colour = _MARKS[finding.level]
            session.print(Text.assemble((mark, colour), f" {visible(finding.text)}"))
            if finding.advice:
                session.print(Text(f"  → {visible(finding.advice)}"))
    if session.as_json:
        session.show([asdict(finding) for finding in findings], list)
    if any(finding.level is Severity.BAD for finding in findings):
        raise typer.Exit(ExitCode.FAILED)


def _examine(session: Session) -> Iterator[Finding]:
    """Yield findings from the outside to the inside, until nothing more can be found out. Where nothing listens on this
    machine, the next question is whether a server could start."""
    try:
        profile = profiles.resolve(session.url, profile=session.profile)
        yield from address.examine(session, profile)
        yield from service.examine(profile)
    except address.NotStarted as stop:
        yield stop.finding
        yield from machine.examine()
    except Stop as stop:
        yield stop.finding
