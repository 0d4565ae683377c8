"""What the process of the queue `publishing` does with an order: one function an action, whose answer the caller is
shown. Each raises `ModelgateError`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from redis import Redis

from contract.errors import Code, ModelgateError
from contract.repository import CURRENT, Repository
from contract.settings import Settings
from contract.training import Action, Order
from trainer.importing import imports
from trainer.publishing import aliases, promotion

Execute = Callable[[Settings, Redis, Order], dict[str, Any]]


def move_alias(settings: Settings, connection: Redis, order: Order) -> dict[str, Any]:
    remark = promotion.promote(settings, connection, order.model, _version(order), order.alias or CURRENT, order.force)
    return _answer(settings, order, remark)


def delete_alias(settings: Settings, _: Redis, order: Order) -> dict[str, Any]:
    aliases.delete_alias(settings.models_dir, order.model, order.alias or "")
    return _answer(settings, order)


def roll_back(settings: Settings, connection: Redis, order: Order) -> dict[str, Any]:
    return _answer(settings, order, promotion.roll_back(settings, connection, order.model, order.force))


def delete_version(settings: Settings, _: Redis, order: Order) -> dict[str, Any]:
    aliases.delete_version(settings.models_dir, order.model, _version(order))
    return _answer(settings, order)


def import_version(settings: Settings, connection: Redis, order: Order) -> dict[str, Any]:
    if not settings.allow_upload:  # the gateway checks too, but may have other settings
        raise ModelgateError(
            Code.NOT_PUBLISHED,
            "the trainer does not import it, because its ALLOW_UPLOAD is off; set it to 1 for gateway and trainer",
        )
    manifest = imports.import_upload(settings, order)
    try:
        remark = promotion.promote(settings, connection, manifest.name, manifest.version)
    except ModelgateError as error:
        remark = f"it is published, but not {CURRENT}: {error}"
    answer = _answer(settings, order, remark)
    return {**answer, "version": manifest.version, "warnings": [*manifest.warnings, *answer["warnings"]]}


ORDERS: Mapping[Action, Execute] = {
    Action.MOVE_ALIAS: move_alias,
    Action.DELETE_ALIAS: delete_alias,
    Action.ROLL_BACK: roll_back,
    Action.DELETE_VERSION: delete_version,
    Action.IMPORT: import_version,
}


def carry_out(payload: Mapping[str, Any], settings: Settings, connection: Redis) -> Mapping[str, Any]:
    """The answer to the order in a job's payload."""
    order = Order.from_json(payload)
    return ORDERS[order.action](settings, connection, order)


def _version(order: Order) -> int:
    if order.version is None:
        raise ModelgateError(Code.MODEL_NOT_FOUND, f"{order.action} needs a version")
    return order.version


def _answer(settings: Settings, order: Order, remark: str | None = None) -> dict[str, Any]:
    """How the model is named now."""
    repository = Repository(settings.models_dir)
    return {
        "name": order.model,
        "aliases": repository.aliases(order.model),
        "versions": repository.versions(order.model),
        "warnings": [remark] if remark else [],
    }
