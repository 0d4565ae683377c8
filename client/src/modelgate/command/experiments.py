"""The verbs of experiments: `experiment`, `experiments`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from modelgate.command.exits import ExitCode, Failed
from modelgate.command.models import Name
from modelgate.command.session import Session, segment, without_none
from modelgate.command.terminal import moment, table
from modelgate.command.verbs import flag, option


def _option(text: str, metavar: str | None = None, *names: str) -> Any:
    return option(text, *names, metavar=metavar, rich_help_panel="The experiment")


@dataclass
class PlanOptions:
    """The options of a plan."""

    shadow: Annotated[bool, _option("The candidate scores logged requests; nobody sees it.", None, "--shadow")] = False
    canary: Annotated[bool, _option("The candidate answers a share of the callers.", None, "--canary")] = False
    share: Annotated[float | None, _option("Of the logged requests, or of the callers: 0.05.", "SHARE")] = None
    step: Annotated[list[float] | None, _option("A share before that. May be repeated.", "SHARE")] = None
    metric: Annotated[str | None, _option("Whose loss counts: accuracy, log_loss, brier, …", "METRIC")] = None
    margin: Annotated[float | None, _option("By how much the mean loss may be worse: 0.01.", "LOSS")] = None
    level: Annotated[float | None, _option("The chance of a wrong end: 0.01.", "SHARE")] = None
    agreement: Annotated[float | None, _option("Answers that agree, to promote without outcomes.", "SHARE")] = None
    failures: Annotated[float | None, _option("Rows more that may fail: 0.01.", "SHARE")] = None
    slowdown: Annotated[float | None, _option("Times as long that a batch may take: 3.", "TIMES")] = None
    distance: Annotated[float | None, _option("Mean distance of the answers that is allowed.", "0 TO 1")] = None
    better: Annotated[bool, _option("Promote it only if it is better.", None, "--better")] = False
    no_promote: Annotated[bool, _option("Do not move current at the end.", None, "--no-promote")] = False
    days: Annotated[float | None, _option("Days after which it is over.", "DAYS")] = None

    def to_json(self) -> dict[str, Any]:
        """Return the plan; without a kind if none was chosen."""
        kind = "shadow" if self.shadow else "canary" if self.canary else None
        require, promote = "better" if self.better else None, False if self.no_promote else None
        chosen = {"kind": kind, "steps": self.step or None, "require": require, "promote": promote}
        limits = without_none({name: getattr(self, name) for name in ("failures", "slowdown", "distance")})
        same = ("share", "metric", "margin", "level", "agreement", "days")
        return without_none({**chosen, "limits": limits or None, **{name: getattr(self, name) for name in same}})


def experiment(
    session: Session,
    name: Name,
    version: Annotated[
        int | None, typer.Argument(metavar="VERSION", help="The version to try; without it, the newest one is shown.")
    ] = None,
    stop: Annotated[bool, flag("Stop the one that runs.", "--stop")] = False,
    *,
    plan: PlanOptions,
) -> None:
    """Try a version beside the current one, show how far the experiment is, or stop it.

    What is seen of both decides: the version becomes current, or it is rolled back.
    """
    path, body = f"/v1/models/{segment(name)}/experiments", plan.to_json()
    if stop and (version is not None or body):
        raise Failed(f"--stop stands alone: modelgate experiment {name} --stop", ExitCode.USAGE)
    if version is not None:
        if plan.shadow == plan.canary:
            raise Failed(
                f"say how: modelgate experiment {name} {version} --shadow, or --canary --share 0.05", ExitCode.USAGE
            )
        found = session.client.request("POST", path, json={"candidate": version, **body})
    elif body:
        raise Failed(f"say which version to try: modelgate experiment {name} VERSION --shadow", ExitCode.USAGE)
    else:
        newest = next(iter(session.get(path)["items"]), None)
        if newest is None or (stop and newest["ending"]):
            raise Failed(f"{name} has no experiment{' that runs' if newest else ''}")
        found = session.client.request("DELETE" if stop else "GET", f"{path}/{newest['id']}")
    session.show(found, lambda: _course(name, found))


def experiments(session: Session, name: Name) -> None:
    """List the experiments of a model, newest first."""
    items = session.get(f"/v1/models/{segment(name)}/experiments")["items"]
    session.show(items, lambda: [_table(items) if items else f"There are no experiments of {name}."])


def _course(name: str, one: Mapping[str, Any]) -> Iterator[str]:
    """Yield what an experiment is, and how it has ended or how far it is."""
    yield f"{one['id']}: {_what(one)} of {name}"
    if one["ending"]:
        yield f"{_words(one['ending'])} {moment(one['ended_at'])}: {one['reason']}"
        return
    plan, findings = one["plan"], one.get("findings")
    if plan["kind"] == "canary":
        rises = f", {plan['share']:.4g} at last" if one["share"] < plan["share"] else ""
        yield f"share of the callers: {one['share']:.4g} since {moment(one['share_since'])}{rises}"
    yield f"runs since {moment(one['started_at'])}, until {moment(one['until'])}"
    if findings is None:
        yield "nothing is found yet"
        return
    yield findings["reason"]
    if findings["missing"]:
        yield f"missing: {findings['missing']}"


def _table(items: Sequence[Mapping[str, Any]]) -> Any:
    rows = [
        (one["id"], _what(one), moment(one["started_at"]), _words(one["ending"] or "runs"), one["reason"])
        for one in items
    ]
    return table(("ID", "WHAT", "BEGAN", "END", "WHY"), rows)


def _what(one: Mapping[str, Any]) -> str:
    return f"{one['plan']['kind']} of version {one['candidate']} beside version {one['baseline']}"


def _words(ending: str) -> str:
    return ending.replace("_", " ")
