"""Protected models: what needs a second person, and what becomes of the requests for that.

All of it is decided with the state of the model locked. A request stays until its version is current, so a trainer that
is killed after it has moved `current` finds it, and only ends it.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace

from contract.errors import Code, ModelgateError
from contract.model.model_settings import PROMOTIONS, PROTECTED, ModelSettings
from contract.model.promotions import Person, PromotionEnding, PromotionRequest
from contract.model.repository import CURRENT, PREVIOUS
from contract.work.jobs import timestamp_now
from storage.models.repository_writer import RepositoryWriter
from storage.models.states import ModelState

MOST_KEPT = 20
"""Most requests of a model that are kept."""


@dataclass(frozen=True)
class Approval:
    """`person` approves the request with the id `request`."""

    request: str
    person: Person


def waiting(state: ModelState) -> PromotionRequest | None:
    return ModelSettings.from_json(state.settings).waiting


def check_move(state: ModelState, model: str, alias: str, version: int, approval: Approval | None) -> None:
    """Raise `approval_required` for a move of `current` or `previous` of a protected model, unless the `approval` is
    for it, and as `decidable`. `previous` counts, because a rollback makes it current."""
    protected = ModelSettings.from_json(state.settings).protected
    if not protected or alias not in (CURRENT, PREVIOUS) or state.aliases.get(alias) == version:
        return
    if approval and alias == CURRENT and decidable(state, model, approval).version == version:
        return
    raise _required(model, f'{{"version": {version}}}')


def check_unprotected(state: ModelState, model: str) -> None:
    """Raise `approval_required` for a protected model."""
    if ModelSettings.from_json(state.settings).protected:
        raise _required(model, '{"unprotect": true}')


def decidable(state: ModelState, model: str, approval: Approval) -> PromotionRequest:
    """Return the request that the `approval` is for. Raises `promotion_not_found` unless it waits, and
    `second_person_needed` for the one who asked."""
    request = _waiting(state, model, approval.request)
    if not approval.person.may_decide(request.asker):
        what = f"{request.asker.name} has asked for this, so another owner has to decide it, with a key of their own"
        raise ModelgateError(Code.SECOND_PERSON_NEEDED, what, model=model)
    return request


def ask(
    repository: RepositoryWriter, model: str, version: int | None, asker: Person, note: str = ""
) -> tuple[PromotionRequest, PromotionRequest | None]:
    """Ask to make `version` of a protected model current (None: to unprotect it), and return the request, and the one
    that it replaces or None. Harmless to repeat. Raises `not_protected`, and `alias_moved` if `version` is current."""
    new = PromotionRequest(f"p{secrets.token_hex(6)}", version, asker, timestamp_now(), note)
    replaced: list[PromotionRequest] = []

    def edit(state: ModelState) -> None:
        replaced.clear()
        if not ModelSettings.from_json(state.settings).protected:
            what = f"{model!r} is not protected, so nobody has to be asked; make the change at once"
            raise ModelgateError(Code.NOT_PROTECTED, what, model=model)
        if version is not None and state.aliases.get(CURRENT) == version:
            raise ModelgateError(Code.ALIAS_MOVED, f"version {version} of {model!r} is current already", model=model)
        known = waiting(state)
        if known and replace(new, id=known.id, asked_at=known.asked_at) == known:
            return
        if known:
            replaced.append(end(state, known, PromotionEnding.REPLACED, asker.name))
        _put(state, new)

    state = repository.change(model, edit)
    return _waiting(state, model), next(iter(replaced), None)


def end(state: ModelState, request: PromotionRequest, ending: PromotionEnding, decided_by: str) -> PromotionRequest:
    """End a request, and return it."""
    ended = replace(request, ending=ending, ended_at=timestamp_now(), decided_by=decided_by)
    _put(state, ended)
    return ended


def decide(repository: RepositoryWriter, model: str, approval: Approval, ending: PromotionEnding) -> PromotionRequest:
    """End the request that waits as a person decides, and return it. The one who asked may withdraw it, too. An
    approved one that names no version unprotects the model. Raises as `decidable`, and nothing for one that this has
    ended before."""

    def edit(state: ModelState) -> None:
        settings = ModelSettings.from_json(state.settings)
        newest = next(iter(settings.promotions), None)
        if newest and newest.id == approval.request and newest.ending is ending:
            return
        withdraws = ending is PromotionEnding.WITHDRAWN
        request = _waiting(state, model, approval.request) if withdraws else decidable(state, model, approval)
        if ending is PromotionEnding.APPROVED and request.version is None:
            state.settings = {**state.settings, PROTECTED: False}
        end(state, request, ending, approval.person.name)

    state = repository.change(model, edit)
    return ModelSettings.from_json(state.settings).promotions[0]


def settle(state: ModelState) -> None:
    """End the request that waits if its version is gone."""
    request = waiting(state)
    if request and request.version and request.version not in state.versions:
        end(state, request, PromotionEnding.GONE, "")


def _waiting(state: ModelState, model: str, id: str | None = None) -> PromotionRequest:  # noqa: A002
    request = waiting(state)
    if request is None or id not in (None, request.id):
        there_is = f"{request.id} does" if request else "none does"
        what = f"no request {(id or '')[:64]!r} of {model!r} waits; {there_is}"
        raise ModelgateError(Code.PROMOTION_NOT_FOUND, what, model=model)
    return request


def _put(state: ModelState, request: PromotionRequest) -> None:
    others = [other for other in ModelSettings.from_json(state.settings).promotions if other.id != request.id]
    state.settings = {**state.settings, PROMOTIONS: [one.to_json() for one in (request, *others)][:MOST_KEPT]}


def _required(model: str, body: str) -> ModelgateError:
    what = f"{model!r} is protected, so a second person has to approve this; ask: POST /v1/models/{model}/promotions"
    return ModelgateError(Code.APPROVAL_REQUIRED, f"{what} {body}", model=model)
