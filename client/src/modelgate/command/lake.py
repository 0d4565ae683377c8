"""What `predict` does with the objects of a data lake."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from modelgate.command.exits import ExitCode, Failed
from modelgate.command.session import Session
from modelgate.command.terminal import count
from modelgate.lake import ERRORS, LakeRun, Outcome, is_lake
from modelgate.progress import ProgressBar, is_watched

_SHOWN = 10
"""Objects that could not be scored, of which each gets a line."""


def score_lake(
    session: Session, reference: str, source: str, target: str, options_file: Path | None, *, method: str, strict: bool
) -> None:
    """Score objects, and say what was done. Raises `Failed` if some could not be scored."""
    if not (is_lake(source) and is_lake(target)):
        raise Failed("the answers to objects go to a folder in a bucket: -o s3://lake/scored/", ExitCode.USAGE)
    model = session.client.model(reference)
    run = LakeRun(model, source, target, method=method, strict=strict, options_file=options_file)
    try:
        with ProgressBar(is_watched()) as bar:
            outcome = run.score(bar.show)
    except KeyboardInterrupt:
        why = "interrupted: the jobs are cancelled, and the same command goes on where it was"
        raise Failed(why, ExitCode.INTERRUPTED) from None
    session.notes(sorted(outcome.warnings))
    session.show(outcome.to_json(), lambda: _lines(outcome, target))
    if outcome.failed:
        failed = list(outcome.failed.items())
        for url, why in failed[:_SHOWN]:
            session.note(f"{url}: {why}")
        raise Failed(f"{count(len(failed), 'object')} could not be scored; the others are in {target}")


def _lines(outcome: Outcome, target: str) -> Iterable[str]:
    errors = f", {count(outcome.errors, 'error')}" if outcome.errors else ""
    where = f"{target}, {target.rstrip('/')}/{ERRORS}" if outcome.errors else target
    before = f"; {count(outcome.before, 'object')} were there before" if outcome.before else ""
    yield f"{count(outcome.objects, 'object')}, {count(outcome.rows, 'row')}{errors} → {where}{before}"
