"""The command as a whole: its verbs, `--version`, and how errors become one line and an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, Any

import typer

from modelgate.command import (
    audit,
    backup,
    demo,
    docs,
    doctor,
    environments,
    experiments,
    explanations,
    failures,
    jobs,
    keys,
    models,
    outcomes,
    prediction_log,
    predictions,
    profile,
    promotions,
    publishing,
    repository,
    schedules,
    server,
    trainings,
    upgrade,
)
from modelgate.command.exits import ExitCode, Failed, exit_code
from modelgate.command.session import without_none
from modelgate.command.terminal import one_line
from modelgate.command.verbs import flag, option, verb
from modelgate.errors import ModelgateError

app = typer.Typer(
    name="modelgate",
    help="Serve scikit-learn models: predict, train, publish, promote, roll back.",
    epilog="Without --url or --profile the command uses MODELGATE_URL and MODELGATE_API_KEY, else the default profile,"
    " else the Modelgate that was started in this folder or with `modelgate up`, else http://127.0.0.1:8080.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_SERVER = (
    *(server.serve, server.up, server.status, server.logs, server.down),
    *(backup.backup, upgrade.upgrade, docs.docs, demo.demo),
)
_MODELS = (
    *(models.models, models.model, models.describe, models.versions),
    *(publishing.publish, publishing.promote, publishing.rollback, publishing.migrate, publishing.export),
    *(promotions.protect, promotions.approve, promotions.reject),
    *(publishing.remove, publishing.restore),
    *(trainings.train, models.decide, models.report, models.card, failures.failures),
    *(experiments.experiment, experiments.experiments),
)
_JOBS = (predictions.predict, explanations.explain, jobs.jobs, jobs.job, jobs.cancel, jobs.log, jobs.download)
_LOG = (
    *(prediction_log.logging, prediction_log.predictions, prediction_log.replay, prediction_log.forget),
    outcomes.outcomes,
)
_ACCESS = "Keys and access"
for panel, functions in {
    "Server": _SERVER,
    "Models": _MODELS,
    "Jobs": _JOBS,
    "Prediction log": _LOG,
    _ACCESS: (audit.audit, doctor.doctor),
}.items():
    for function in functions:
        verb(app, panel=panel)(function)
for group in (profile.group, keys.group):
    app.add_typer(group, rich_help_panel=_ACCESS)
app.add_typer(schedules.group, rich_help_panel="Models")
for group in (repository.group, environments.group):
    app.add_typer(group, rich_help_panel="Server")


def _print_version(requested: bool) -> None:
    if requested:
        print(f"modelgate {_version()}")
        raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    url: Annotated[
        str | None, option("The address of Modelgate. It may also follow the verb.", "--url", metavar="URL")
    ] = None,
    profile: Annotated[str | None, option("The profile to use. It may also follow the verb.", metavar="NAME")] = None,
    as_json: Annotated[bool, flag("Print the answer as JSON.", "--json")] = False,
    _: Annotated[bool, option("Print the version.", "--version", callback=_print_version, is_eager=True)] = False,
) -> None:
    """Serve scikit-learn models: predict, train, publish, promote, roll back."""
    context.default_map = _defaults(
        context.command, without_none({"url": url, "profile": profile, "as_json": as_json or None})
    )


def _defaults(group: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options as defaults of each verb of the group, and of those of its groups."""
    return {
        name: _defaults(command, options) if hasattr(command, "commands") else options
        for name, command in group.commands.items()
    }


def run(arguments: Sequence[str]) -> int:
    """Run the command with `arguments` and return its exit code."""
    try:
        ended = app(args=list(arguments) or ["--help"], prog_name="modelgate", standalone_mode=False)
        if ended == ExitCode.INTERRUPTED:  # with which newer releases of typer end after Ctrl-C, in silence
            raise KeyboardInterrupt
        return ended if isinstance(ended, int) else ExitCode.DONE
    except _WRONG_USE as error:
        return _fail(f"{error.format_message().rstrip('.')}; see `{_verb_of(error)} --help`", ExitCode.USAGE)
    except (KeyboardInterrupt, typer.Abort):
        return _fail("interrupted", ExitCode.INTERRUPTED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes once more at its end
        return ExitCode.FAILED
    except (Failed, ModelgateError) as error:
        return _fail(_WITHOUT_KEY if getattr(error, "code", "") == "missing_key" else str(error), exit_code(error))
    except OSError as error:
        return _fail(f"{error.filename}: {error.strerror}" if error.filename else str(error), ExitCode.USAGE)


_WRONG_USE: Any = typer.BadParameter.__mro__[2]
"""What all errors of arguments are: a class of click, of typer's copy of it, or typer's own, as its release is."""

_WITHOUT_KEY = (
    "this Modelgate needs a key: set MODELGATE_API_KEY, or store one with `modelgate profile add NAME --url URL`"
)


def _fail(message: str, code: ExitCode) -> ExitCode:
    print(f"modelgate: {one_line(message)}", file=sys.stderr)
    return code


def _verb_of(error: Exception) -> str:
    """Return the verb that was used wrongly, such as `modelgate predict`."""
    context = getattr(error, "ctx", None)
    return context.command_path if context else "modelgate"


def _version() -> str:
    try:
        return version("modelgate-client")
    except PackageNotFoundError:
        return "from a checkout"
