"""`make train` trains a model on the running Modelgate and shows its progress; if none runs, it trains here."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from contract.settings import Settings, SettingsError
from launcher.arguments import WrongArgument, features, gate, kinds, model_name, readable_file
from launcher.http_client import Modelgate, NotRunning, Refused

POLL_INTERVAL = 0.25
"""Seconds between two requests for the progress."""

WAITING = "waiting"
"""The phase of a queued training."""

SUCCEEDED, FAILED, USAGE_ERROR, INTERRUPTED = 0, 1, 2, 130


class ProgressBar:
    """Draws one line of a terminal again and again; writes one line per phase to anything else."""

    def __init__(self, out: IO[str]) -> None:
        self._out = out
        self._drawn = ""

    def show(self, progress: Mapping[str, Any]) -> None:
        phase = str(progress.get("phase", ""))
        phase = _waiting(progress) if phase == WAITING else phase
        if not self._out.isatty():
            if phase != self._drawn:
                self._out.write(f"{phase}\n")
                self._out.flush()
            self._drawn = phase
            return
        width = max(20, shutil.get_terminal_size().columns - 1)
        self._drawn = line(progress, width)
        self._out.write(f"\r{self._drawn:<{width}}")
        self._out.flush()

    def close(self) -> None:
        if self._out.isatty() and self._drawn:
            self._out.write("\n")


def line(progress: Mapping[str, Any], width: int) -> str:
    """Return a line like `[#####-----]  50% comparing 3/6, best score 0.871, 12 s left`, cut to `width` characters."""
    fraction = min(1.0, max(0.0, float(progress.get("fraction") or 0)))
    full = round(fraction * 20)
    if progress.get("phase") == WAITING:
        return _waiting(progress)[:width]
    parts = [f"[{'#' * full}{'-' * (20 - full)}] {fraction:4.0%} {progress.get('phase', '')}"]
    if progress.get("total"):
        parts[0] += f" {progress.get('done') or 0}/{progress['total']}"
    if progress.get("best") is not None:
        parts.append(_best(progress["best"], progress.get("metric") or "score"))
    if progress.get("seconds_left") is not None:
        parts.append(f"{progress['seconds_left']:.0f} s left")
    return ", ".join(parts)[:width]


def _waiting(progress: Mapping[str, Any]) -> str:
    ahead = progress.get("total") or 0
    return f"waiting for {ahead} other training{'' if ahead == 1 else 's'}" if ahead else "waiting for the trainer"


def _best(score: float, metric: str) -> str:
    """Return the best score so far with its name; a loss, which scikit-learn negates, is shown positive."""
    if metric.startswith("neg_"):
        score, metric = -score, metric.removeprefix("neg_")
    return f"best {metric.replace('_', ' ')} {score:.3f}"


def main(arguments: list[str] | None = None) -> int:
    """Return the exit code: 0 trained, 1 not trained, 2 invalid argument or setting, 130 interrupted."""
    parser = argparse.ArgumentParser(prog="make train", description=__doc__)
    parser.add_argument("name")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="training data")
    parser.add_argument("--target", help="the column to predict, for a model without its own recipe")
    parser.add_argument("--id", metavar="COLUMN", help="the column that identifies a row: echoed, not learnt")
    parser.add_argument("--features", metavar="A,B", help="the columns to learn from (default: all others)")
    parser.add_argument(
        "--kinds", metavar="A=KIND,B=KIND", help="the kinds of columns, where they should not be inferred"
    )
    parser.add_argument("--estimator", help="the estimator of the recipe tabular (default: the best of them)")
    parser.add_argument(
        "--gate", metavar="floor=0.7,margin=0.01", help="what a new version must reach to become current"
    )
    options = parser.parse_args(arguments)
    try:
        settings = Settings.from_environ()
        name, csv, request = model_name(options.name), readable_file(options.csv, "CSV"), _request(options)
        modelgate = Modelgate.from_settings(settings)
        if not modelgate.is_alive():
            return _train_here(name, csv, request)
        job = modelgate.train(name, csv, request)
        return follow(modelgate, job["id"], sys.stdout)
    except (SettingsError, WrongArgument) as error:
        print(f"modelgate: {error}", file=sys.stderr)
        return USAGE_ERROR
    except (NotRunning, Refused, OSError) as error:
        print(f"modelgate: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED


def _request(options: argparse.Namespace) -> dict[str, Any]:
    """Return the training request for the given options."""
    asked = {
        "target": options.target,
        "id_field": options.id,
        "features": features(options.features) if options.features else None,
        "kinds": kinds(options.kinds) if options.kinds else None,
        "parameters": {"estimator": options.estimator} if options.estimator else None,
        "gate": gate(options.gate) if options.gate else None,
    }
    return {key: value for key, value in asked.items() if value is not None}


def follow(modelgate: Modelgate, job_id: str, out: IO[str]) -> int:
    """Show the progress until the training ends; Ctrl-C cancels it. Returns the exit code."""
    bar = ProgressBar(out)
    try:
        while True:
            job = _poll_job(modelgate, job_id)
            if job["progress"]:
                bar.show(job["progress"])
            if job["completed_at"]:
                break
            time.sleep(POLL_INTERVAL)
    except KeyboardInterrupt:
        bar.close()
        modelgate.request("DELETE", f"/v1/jobs/{job_id}")
        print("modelgate: the training was cancelled", file=sys.stderr)
        return INTERRUPTED
    bar.close()
    return _print_outcome(job, modelgate.url)


def _poll_job(modelgate: Modelgate, job_id: str, patience: float = 30) -> dict[str, Any]:
    """Return the job; wait up to `patience` seconds for a gateway that restarts. Raises `NotRunning`."""
    end = time.monotonic() + patience
    while True:
        try:
            return modelgate.request("GET", f"/v1/jobs/{job_id}")
        except NotRunning:
            if time.monotonic() > end:
                raise
            time.sleep(POLL_INTERVAL)


def _print_outcome(job: Mapping[str, Any], url: str) -> int:
    if job["status"] != "succeeded":
        reason = (job["error"] or {}).get("message", job["status"])
        print(f"modelgate: {job['model']['name']} was not trained: {reason}", file=sys.stderr)
        return FAILED
    for line in outcome(job["output"], url):
        print(line)
    return SUCCEEDED


def outcome(output: Mapping[str, Any], url: str) -> list[str]:
    """Return the lines about a new version: remarks on its data, verdict, report, and whether it is current."""
    name, version = output["model"], output["version"]
    lines = [f"modelgate: note: {remark}" for remark in output.get("remarks") or ()]
    if output.get("verdict"):
        lines.append(f"modelgate: {output['verdict']}")
    lines.append(f"modelgate: report: {url}/v1/models/{name}/versions/{version}/report")
    metrics = dict(output["metrics"])
    first = output.get("headline") if output.get("headline") in metrics else next(iter(metrics), None)
    if first is not None:
        metrics = {first: metrics.pop(first), **metrics}
    scores = ", ".join(f"{metric.replace('_', ' ')} {value:.3f}" for metric, value in list(metrics.items())[:3])
    if output["promoted"]:
        return [*lines, f"modelgate: {name} version {version} is current ({scores})"]
    reason = str(output["reason"]).partition("; to promote it anyway")[0]
    body = shlex.quote(json.dumps({"version": version}))
    return [
        *lines,
        f"modelgate: {name} version {version} is published but not promoted: {reason} ({scores})",
        "modelgate: to promote it anyway:"
        f" curl -X PUT {url}/v1/models/{name}/aliases/current -H 'Content-Type: application/json' -d {body}",
    ]


def _train_here(name: str, csv: Path | None, request: Mapping[str, Any]) -> int:
    """Become `python -m trainer train`."""
    command = [sys.executable, "-m", "trainer", "train", name, *(["--csv", str(csv)] if csv else [])]
    os.execv(sys.executable, [*command, *(["--request", json.dumps(request)] if request else [])])


if __name__ == "__main__":
    sys.exit(main())
