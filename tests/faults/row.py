"""One row of the table: a fault under load, what became of the accepted jobs, and what Modelgate said of it."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import pairwise

from tests.faults.rules import firing
from tests.faults.stage import MODELS, Stage
from tests.faults.table import Fault
from tests.faults.witness import Witness, contradictions, in_words, metrics
from tests.flow.clients import Answer, Clients
from tests.soak.ledger import Ledger
from tests.support import until

WAIT = 8
"""Seconds that a client waits for its answer: less than the longest fault, more than any answer takes otherwise."""


@dataclass
class Row:
    """Figures of a fault; `untrue`: why the row does not hold."""

    fault: Fault
    accepted: int = 0
    refused: int = 0
    unanswered: int = 0
    failed: int = 0
    lost: int = 0
    wrong: int = 0
    stuck: int = 0
    longest_gap: float = 0.0
    recovered_after: float = 0.0
    ready: str = ""
    metric: str = ""
    line: str = ""
    system: str = ""
    alert: str = ""
    untrue: list[str] = field(default_factory=list)


def run(fault: Fault, stage: Stage) -> Row:
    """Cause the fault under load, wait until all is well again, and account for every accepted job."""
    row = Row(fault)
    groups = [
        Clients(stage.gateway.address, list(MODELS), 4, wait=WAIT, pause=0.02),
        Clients(stage.gateway.address, list(MODELS), 2, wait=0, pause=0.02),
    ]
    with Ledger(stage.cluster.jobs, stage.redis, groups, refusals={0, 503, *fault.refusals}) as ledger:
        with ExitStack() as load, Witness(stage) as witness:
            for group in groups:
                load.enter_context(group)
                group.until_more(20, "before the fault", lambda answer: answer.accepted)
            witness.begin()
            with fault.cause(stage):
                _linger(stage, witness.began + fault.noticed_after)
                _see(row, witness, groups)
                _linger(stage, witness.began + fault.seconds)
            repaired = time.monotonic()
            until(stage.whole, f"everything serves again: {stage.readiness()}", 60)
            row.recovered_after = time.monotonic() - repaired
            stage.settle()
            for group in groups:
                group.until_more(10, "afterwards", lambda answer: answer.accepted)
        _account(row, groups, ledger, witness)
    return row


def _linger(stage: Stage, end: float) -> None:
    """Let the fault last until `end`, in monotonic seconds, and restart what dies meanwhile."""
    while time.monotonic() < end:
        stage.keep()
        time.sleep(0.05)


def _see(row: Row, witness: Witness, groups: Sequence[Clients]) -> None:
    """Note what an operator sees `noticed_after` seconds after the fault."""
    probes, lines = witness.seen(time.monotonic()), witness.new_lines()
    said, now = in_words(probes), metrics(witness.stage)
    moved, codes, alerts = witness.moved(now), witness.stage.system(), firing(witness.metrics, now)
    row.system, row.alert = _first(row.fault.system, codes), _first(row.fault.alert, alerts)
    if row.fault.system and not row.system:
        row.untrue.append(f"/v1/system has {codes}, and not {row.fault.system}")
    if row.fault.alert and not row.alert:
        row.untrue.append(f"the alert {row.fault.alert} would not fire, but {alerts}")
    if not row.fault.alert and alerts:
        row.untrue.append(f"alerts would fire: {alerts}")
    row.ready = _first(row.fault.ready, said)
    row.metric, row.line = _first(row.fault.metric, moved), _first(row.fault.log, lines)
    if not row.ready:
        row.untrue.append(f"/health/ready said {said}, and not {row.fault.ready}")
    if row.fault.metric and not row.metric:
        row.untrue.append(f"no series {row.fault.metric} among those that moved: {moved}")
    if row.fault.log and not row.line:
        row.untrue.append(f"no line of the logs has {row.fault.log}: {lines[:3]}")
    slowest = max((probe.seconds for probe in probes if probe.status), default=0.0)
    if slowest > 2.5:
        row.untrue.append(f"/health/ready took {slowest:.1f} s")


def _first(pattern: str, texts: Iterable[str]) -> str:
    """The first text that has the pattern; nothing for no pattern."""
    return next((text for text in texts if pattern and re.search(pattern, text)), "")


def _account(row: Row, groups: Sequence[Clients], ledger: Ledger, witness: Witness) -> None:
    try:
        until(lambda: ledger.settled or ledger.wrong, "every accepted job has ended", 60)
    except AssertionError:
        row.stuck = len(ledger.open)
    answers = sorted((answer for group in groups for answer in group.answers), key=lambda answer: answer.at)
    statuses = Counter(answer.status for answer in answers)
    row.accepted, row.unanswered = ledger.accepted, statuses[0]
    row.refused = len(answers) - row.accepted - row.unanswered
    row.lost = sum(text.endswith(" is lost") for text in ledger.wrong)
    row.wrong = len(ledger.wrong) - row.lost
    row.failed = sum(count for outcome, count in ledger.outcomes.items() if outcome.startswith("failed"))
    row.longest_gap = longest_gap(answers)
    row.untrue += ledger.wrong[:3]
    if not row.fault.one_of_two:
        row.untrue += contradictions(witness.probes, answers)
    if row.stuck:
        row.untrue.append(f"{row.stuck} jobs have not ended")
    if row.failed:
        row.untrue.append(f"{row.failed} jobs failed: {dict(ledger.outcomes)}")


def longest_gap(answers: Sequence[Answer]) -> float:
    """The longest time without an accepted request, in seconds."""
    moments = [answer.at for answer in answers if answer.accepted]
    return max((later - earlier for earlier, later in pairwise(moments)), default=0.0)
