"""One row of the table: a fault under load, what became of the accepted jobs, and what Modelgate said of it."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import pairwise

from tests.flow.clients import Answer, Clients
from tests.qa.faults.rules import firing
from tests.qa.faults.stage import MODELS, Stage
from tests.qa.faults.table import Fault
from tests.qa.faults.witness import Witness, contradictions, in_words, metrics
from tests.qa.soak.ledger import Ledger
from tests.support import until

WAIT = 8
"""Seconds that a client waits for its answer: less than the longest fault, more than any answer takes otherwise."""


NAMED_WITHIN = 60.0
"""Seconds within which all signs of a fault must be seen."""

ALERTED_AFTER = 30.0
"""Seconds that most alerts wait before they fire: what is over by then needs none."""


@dataclass(frozen=True)
class Sign:
    """A text that names the fault, and the seconds until it was seen; of an alert, until it fires at most."""

    text: str
    after: float


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
    signs: dict[str, Sign] = field(default_factory=dict)
    """What was seen of the fault, by where: `ready`, `system`, `metric`, `alert` or `log`."""
    untrue: list[str] = field(default_factory=list)

    @property
    def named(self) -> bool:
        """Whether everything has been seen that the fault must show."""
        return self.signs.keys() >= self.fault.signs.keys()


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
                _watch(row, witness)
                _judge(row, witness)
            repaired = time.monotonic()
            until(stage.whole, f"everything serves again: {stage.readiness()}", 60)
            row.recovered_after = time.monotonic() - repaired
            stage.settle()
            for group in groups:
                group.until_more(10, "afterwards", lambda answer: answer.accepted)
        _account(row, groups, ledger, witness)
    return row


def _watch(row: Row, witness: Witness) -> None:
    """Let the fault last until all its signs were seen, and restart what dies meanwhile."""
    look = witness.began
    while (elapsed := time.monotonic() - witness.began) < row.fault.seconds or not row.named:
        if elapsed > NAMED_WITHIN:
            return
        witness.stage.keep()
        if time.monotonic() >= look:
            _note_signs(row, witness)
            look = time.monotonic() + 1
        time.sleep(0.05)


def _note_signs(row: Row, witness: Witness) -> None:
    """Note the signs that are seen now for the first time."""
    signs, fault = row.signs, row.fault
    for probe in witness.seen(time.monotonic()):
        if "ready" in fault.signs and re.search(fault.ready, probe.words):
            signs.setdefault("ready", Sign(probe.words, probe.moment - witness.began))
    now = metrics(witness.stage)
    texts = {"system": witness.stage.system(), "metric": witness.moved(now), "log": witness.new_lines()}
    elapsed = time.monotonic() - witness.began
    for where, text_there in texts.items():
        if where not in signs and (text := _first(fault.signs.get(where, ""), text_there)):
            signs[where] = Sign(text, elapsed)
    if "metric" in signs and "alert" not in signs and fault.alert:
        for alert, seconds in firing(witness.metrics, now).items():
            if re.search(fault.alert, alert):
                signs.setdefault("alert", Sign(alert, elapsed + seconds))


def _judge(row: Row, witness: Witness) -> None:
    """Note what an operator did not see, or saw without a reason."""
    fault, probes = row.fault, witness.seen(time.monotonic())
    now, said = metrics(witness.stage), in_words(probes)
    shown = {
        "ready": said,
        "system": witness.stage.system(),
        "metric": witness.moved(now),
        "alert": [*firing(witness.metrics, now)],
        "log": witness.new_lines(),
    }
    for where, pattern in fault.signs.items():
        if where not in row.signs:
            row.untrue.append(f"{where} has {shown[where][:20]}, and not {pattern}")
    late = {where: sign.after for where, sign in row.signs.items() if sign.after > NAMED_WITHIN}
    row.untrue += [f"{where} took {seconds:.0f} s" for where, seconds in late.items()]
    if not _soon(witness, lambda: not _unexpected(fault, firing(witness.metrics, metrics(witness.stage)))):
        row.untrue.append(f"alerts would fire: {_unexpected(fault, shown['alert'])}")
    if not fault.ready and not _soon(witness, lambda: witness.probes[-1].words == "200 ok"):
        row.untrue.append(f"/health/ready said {said}")
    slowest = max((probe.seconds for probe in probes if probe.status), default=0.0)
    if slowest > 2.5:
        row.untrue.append(f"/health/ready took {slowest:.1f} s")


def _unexpected(fault: Fault, alerts: Iterable[str]) -> list[str]:
    """The alerts that the fault does not explain."""
    explained = "|".join(filter(None, (fault.alert, fault.also)))
    return [alert for alert in alerts if not explained or not re.search(explained, alert)]


def _soon(witness: Witness, condition: Callable[[], bool]) -> bool:
    """Return whether the condition holds before an alert fires that waits for half a minute."""
    while not condition():
        if time.monotonic() - witness.began > ALERTED_AFTER:
            return False
        witness.stage.keep()
        time.sleep(0.2)
    return True


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
