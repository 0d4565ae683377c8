"""Examines the service at an address: is it Modelgate, what may the key do, is it ready, does it answer."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from modelgate import Client
from modelgate.command.doctor.findings import Finding, Stop, bad, doubt, good
from modelgate.command.terminal import count
from modelgate.errors import Forbidden, ModelgateError, Unauthorized, Unavailable
from modelgate.lake_schedules import LIST, why_failed
from modelgate.profiles import Profile
from modelgate.text import without_password

_TIMEOUT, _PATIENCE, _ONCE = 10, 5, 1
"""Seconds: for any request, for a prediction, and for a request that is not repeated."""
_TRAINERS = re.compile(r"^modelgate_trainers\{.*\} ([0-9]{1,9}(?:\.[0-9]{1,9})?)$", re.MULTILINE | re.ASCII)
_KEY = "store it: `modelgate profile add NAME --url …`, or set MODELGATE_API_KEY"
_ADVICE: Mapping[str, str] = {
    "missing_key": "get a key from an admin (`modelgate keys create …`, or `python -m gateway key add …` beside the"
    f" server); {_KEY}",
    "invalid_key": f"it was revoked, or belongs to another Modelgate; get a new one; {_KEY}",
    "expired_key": "an admin gives it a new secret: `modelgate keys rotate NAME --expires 90d`; then " + _KEY,
    "too_many_attempts": "too many wrong keys came from this address; wait a minute, and repair whatever sends them",
    "foreign_host": "use an address that the server knows, or add this host to ALLOWED_HOSTS where the gateway runs",
}
"""What to do about a refusal, by its code."""
_REPAIRS: Mapping[str, str] = {
    "redis_unavailable": "start Redis, or correct REDIS_URL; on one machine see redis.log in STATE_DIR",
    "redis_loading": "wait: Redis reads its data",
    "redis_full": "raise REDIS_MAXMEMORY; start workers if jobs wait, lower RESULT_TTL or delete jobs if results do",
    "redis_disk_full": "free space on the disk of Redis",
    "redis_disk_slow": "give Redis a faster disk, or the disk fewer other writers",
    "redis_read_only": "have REDIS_URL name the primary, or the Sentinels",
    "redis_denied": "correct the user or the password in REDIS_URL, or REDIS_PASSWORD_FILE",
    "too_few_replicas": "start the missing replicas, or lower REDIS_REPLICAS",
    "no_model": "publish or train one: `modelgate publish FILE`, `modelgate train NAME rows.csv --target COLUMN`",
    "no_key": "make one beside the server: python -m gateway key add --name me --scopes admin",
    "no_worker": "start one: `modelgate up` does, or `docker compose up -d worker`; if it ends again, read its log",
    "worker_silent": "read the log of the worker; it goes on once the machine is less busy, or is replaced",
    "process_stuck": "wait half a minute: it is replaced; restart the gateway if it is its first process",
    "queue_full": "wait, start more workers, or raise MAX_QUEUE_ROWS",
    "model_times_out": "find the row and its caller in the log of the worker, or give the model a worker of its own",
    "store_away": "have the machine of the mirror reach the object store, or correct its options; serving goes on",
    "mirror_behind": "read the reason: publish the version again if it is damaged, make room on the disk of the mirror",
    "webhooks_late": "start the service events, or read its log; free memory of Redis if it is full",
    "webhooks_full": "repair the receiver, or let an admin delete what waits: DELETE /v1/deliveries?owner=NAME",
    "missing_trainers": "start it: `docker compose up -d trainer`; what ends is started again: read its log",
    "model_not_loaded": "read the reason; publish the model again, or go back: `modelgate rollback MODEL`",
}
"""What to do about a reason of /health/ready, by its code."""


def examine(profile: Profile) -> Iterator[Finding]:
    """Yield what there is to say about the service. Raises `Stop` where nothing more can be found out."""
    client = Client(profile.url, profile.api_key or "", timeout=_TIMEOUT)
    yield _is_modelgate(client)
    yield _accepts_key(client, profile)
    yield from _cookie(client, profile)
    ready = _readiness(client)
    yield from _reasons(ready)
    codes = {reason["code"] for reason in ready.get("reasons") or ()}
    alerts = {alert["code"]: str(alert["detail"]) for alert in _alerts(client)}
    yield from _trainer(client, all_run="missing_trainers" not in alerts)
    schedules = list(_schedules(client))
    for code in sorted(alerts.keys() - codes - ({"schedule_failed"} if schedules else set())):
        yield bad(alerts[code], _REPAIRS.get(code, "see the runbook: docs/runbook.md"))
    yield from schedules
    if ready.get("status") in ("ok", "degraded") and "no_worker" not in codes:
        yield from _predicts(client)


def _is_modelgate(client: Client) -> Finding:
    try:
        metadata = client.request("GET", "/v2", timeout=_ONCE)
    except Unavailable as error:
        shown = without_password(client.url)
        raise Stop(f"the gateway cannot be reached behind {shown}: {error}", "see the log of the proxy") from error
    except ModelgateError as error:
        advice = "use https:// in the address, if the server there speaks TLS" if client.url.startswith("http:") else ""
        raise Stop(f"no Modelgate answers: {error}", f"check host and port; {advice}".rstrip("; ")) from error
    if not isinstance(metadata, dict) or metadata.get("name") != "modelgate":
        raise Stop(f"something answers at {without_password(client.url)} that is not Modelgate", "check host and port")
    return good("it is a Modelgate")


def _accepts_key(client: Client, profile: Profile) -> Finding:
    try:
        client.request("GET", "/v1/jobs", params={"limit": 1}, timeout=_ONCE)
    except (Unauthorized, Forbidden) as error:
        raise Stop(str(error), _ADVICE.get(error.code, _KEY)) from error
    except ModelgateError as error:
        if error.code in _ADVICE:
            raise Stop(str(error), _ADVICE[error.code]) from error
        return doubt(f"whether the key is accepted cannot be seen now: {error}")
    return good("the key is accepted" if profile.api_key else "no key is needed")


def _cookie(client: Client, profile: Profile) -> Iterator[Finding]:
    """Yield a finding if browsers would send the cookie of the pages in clear text, too."""
    if not client.url.startswith("https:"):
        return
    try:
        cookie = client.send("GET", "/ui/login" if profile.api_key else "/ui").headers.get("Set-Cookie", "")
    except ModelgateError:
        return
    if cookie.startswith("modelgate_session") and "; secure" not in cookie.lower():
        yield bad(
            "the gateway does not know that it is asked over TLS, so the cookie of its pages has no Secure",
            "add the address of the proxy to TRUSTED_PROXIES, and have it send X-Forwarded-Proto",
        )


def _readiness(client: Client) -> Mapping[str, Any]:
    """Return the answer of /health/ready, whatever it is."""
    try:
        readiness: Mapping[str, Any] = client.request("GET", "/health/ready", timeout=_ONCE)
        return readiness
    except Unavailable as error:
        return error.problem


def _reasons(ready: Mapping[str, Any]) -> Iterator[Finding]:
    status, reasons = ready.get("status"), ready.get("reasons") or ()
    if status == "ok":
        workers = count(ready["workers"], "scorer") + (" is alive" if ready["workers"] == 1 else " are alive")
        yield good(f"predictions are accepted; {workers}, with {count(ready['models'], 'model')}")
    elif not reasons:
        yield bad(f"it is not ready: {ready.get('detail') or 'it does not say why'}", "read the log of the gateway")
    for reason in reasons:
        yield bad(str(reason["detail"]), _REPAIRS.get(reason["code"], "see the runbook: docs/runbook.md"))


def _alerts(client: Client) -> Sequence[Mapping[str, Any]]:
    """Return what the page of the system warns of; nothing with a key that does not see it."""
    try:
        alerts: Sequence[Mapping[str, Any]] = client.request("GET", "/v1/system", timeout=_ONCE)["alerts"]
    except (ModelgateError, KeyError, TypeError):
        return ()
    return alerts


def _trainer(client: Client, *, all_run: bool) -> Iterator[Finding]:
    """Yield whether a trainer runs, as the metrics say."""
    try:
        text = b"".join(client.stream("/metrics")).decode(errors="replace")
    except ModelgateError as error:
        if not isinstance(error, Unavailable):
            yield doubt(
                "whether a trainer runs cannot be seen with this key", "a key with the scope read would show it"
            )
        return
    counts = _TRAINERS.findall(text)
    if not counts:
        return  # without Redis nobody knows
    if any(map(float, counts)):
        if all_run:
            yield good("a trainer runs")
    else:
        advice = "start it: `modelgate up` does, or `docker compose up -d trainer`; if it ends again, read its log"
        yield bad("no trainer runs: trainings wait, and no version is published, promoted or rolled back", advice)


def _schedules(client: Client) -> Iterator[Finding]:
    """Yield a finding for each schedule of the key whose last run failed."""
    with suppress(ModelgateError):
        for schedule in client.request("GET", "/v1/schedules").get("items", ()):
            run = schedule.get("last_run") or {}
            if run.get("status") == "failed":
                model, reason = schedule["model"], (run["error"] or {}).get("message")
                advice = f"see `modelgate log {run['job']}`; correct its request: `modelgate schedule {model} CRON …`"
                yield bad(f"the last scheduled training of {model} failed: {reason}", advice)
        for schedule in client.request("GET", LIST).get("items", ()):
            if schedule.get("failed"):
                model = schedule["model"]
                advice = f"see `modelgate schedule predict {model}`, and what `modelgate schedule run` has printed"
                yield bad(f"the last scheduled prediction with {model} failed: {why_failed(schedule)}", advice)


def _predicts(client: Client) -> Iterator[Finding]:
    """Yield whether a prediction gets an answer: of the first model, with its own example."""
    try:
        models = client.models()
    except Forbidden:
        yield doubt("no prediction was tried: this key may not read models", "a key with the scope read could try one")
        return
    if not models:
        return
    name = models[0]["name"]
    try:
        model = client.request("GET", f"/v1/models/{name}")
        path = f"/v1/models/{name}/{model['signature']['methods'][0]['name']}"
        start = time.monotonic()
        headers = {"Prefer": f"wait={_PATIENCE}", "Cancel-After": str(_PATIENCE)}
        job = client.request("POST", path, json=model["example"], headers=headers, timeout=_TIMEOUT)
    except ModelgateError as error:
        yield doubt(f"no prediction was tried with {name}: {error}")
        return
    if job["status"] == "succeeded":
        yield good(f"{name} answers, in {(time.monotonic() - start) * 1000:.0f} ms")
    elif job["completed_at"]:
        yield bad(
            f"{name} does not answer: {(job['error'] or {}).get('message') or job['status']}",
            _REPAIRS["model_not_loaded"],
        )
    else:
        client.request("POST", f"/v1/jobs/{job['id']}/cancel")
        yield bad(
            f"{name} has not answered within {_PATIENCE} s: its queue is long, or its workers are busy",
            _REPAIRS["queue_full"],
        )
