"""The verdict on each specimen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from tests.qa.zoo.compare import Served, differences, without_nulls
from tests.qa.zoo.neighbours import Situation, Tallies, Tally, beside_others
from tests.qa.zoo.specimens import Specimen
from trainer.publishing.independence import CODE


class Found(StrEnum):
    """What became of a specimen. The last two are defects."""

    IDENTICAL = "identical"
    ROUNDED = "equal but for the last digits"
    REFUSES_NULL = "identical, and refuses null with a true reason"
    REFUSED = "refused with a true reason"
    WRONG_REASON = "refused with a wrong reason"
    DIFFERS = "DIFFERS"

    @property
    def is_right(self) -> bool:
        return self not in (Found.WRONG_REASON, Found.DIFFERS)


@dataclass(frozen=True)
class Verdict:
    """`said` is the refusal, or how the answers differ. `tallies`: how often they do beside other requests.
    `alone`: why its requests are scored one at a time. `changes`: what its import has seen it change of its process."""

    specimen: Specimen
    found: Found
    said: str = ""
    tallies: Tallies = field(default_factory=dict)
    alone: str = ""
    changes: str = ""

    def beside(self, situation: Situation, tally: Tally) -> Verdict:
        """Return the verdict once it was asked in this situation, too."""
        verdict = replace(self, tallies={**self.tallies, situation: tally})
        if not tally.different:
            return verdict
        said = f"{situation}, {len(tally.different)} times, such as {tally.different[0]}"
        return replace(verdict, found=Found.DIFFERS, said=f"{self.said}; {said}" if self.said else said)


def compared(specimen: Specimen, written: Mapping[str, Any], served: Served) -> Verdict:
    """Return the verdict on a specimen that is served."""
    taken = without_nulls(written, served) if specimen.may_refuse_null else written
    verdict = judged(specimen, None, list(differences(taken, bool(specimen.rounding), served)))
    if taken is not written and verdict.found.is_right:
        verdict = replace(verdict, found=Found.REFUSES_NULL)
    for situation, tally in beside_others(taken, served).items():
        verdict = verdict.beside(situation, tally)
    why_alone = "; ".join(remark.text for remark in served.manifest.remarks if remark.code == CODE)
    return replace(verdict, alone=why_alone, changes=", ".join(served.manifest.artifact.changes))


def judged(specimen: Specimen, refusal: str | None, differences: Sequence[str] = ()) -> Verdict:
    """Return the verdict on a specimen that was refused, or served with these differences."""
    if refusal is not None:
        expected = specimen.refused is not None and specimen.refused in refusal
        return Verdict(specimen, Found.REFUSED if expected else Found.WRONG_REASON, refusal)
    if specimen.refused is not None:
        return Verdict(specimen, Found.DIFFERS, f"it is served, and was to be refused: {specimen.refused}")
    if differences:
        return Verdict(specimen, Found.DIFFERS, "; ".join(differences))
    return Verdict(specimen, Found.ROUNDED if specimen.rounding else Found.IDENTICAL, specimen.rounding or "")
