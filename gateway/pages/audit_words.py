"""What the audit log has as words."""

from __future__ import annotations

from collections.abc import Mapping

from contract.model.repository import CURRENT
from gateway.serving.model_cards import Entry, alias_moved_by

CHANGES: Mapping[str, str] = {
    "move_alias": "promoted or named a version",
    "delete_alias": "deleted an alias",
    "roll_back": "rolled back",
    "approve_promotion": "approved a promotion",
    "edit_signature": "edited a signature",
    "upload": "uploaded a version",
    "import": "imported a version",
    "migrate": "moved a version to another environment",
    "delete_version": "deleted a version",
    "change_settings": "changed the settings of the model",
    "change_logging": "changed what is logged",
    "describe_model": "described the model",
    "start_experiment": "began an experiment",
    "stop_experiment": "stopped an experiment",
    "experiment_step": "an experiment stepped up",
    "experiment_promoted": "an experiment promoted a version",
    "experiment_passed": "an experiment passed",
    "experiment_rolled_back": "an experiment rolled back",
    "experiment_undecided": "an experiment ended undecided",
    "remove_model": "removed the model",
    "restore_model": "restored the model",
    "set_schedule": "set a schedule",
    "delete_schedule": "deleted a schedule",
    "set_lake_schedule": "set a scheduled prediction",
    "delete_lake_schedule": "deleted a scheduled prediction",
}
"""What changes a model, by action."""

ACTIONS: Mapping[str, str] = {
    "train": "asked for a training",
    "preview_training": "looked at the columns of a file",
    **CHANGES,
    "ask_promotion": "asked a second person",
    "reject_promotion": "rejected a promotion",
    "withdraw_promotion": "withdrew a promotion",
    "add_outcomes": "sent outcomes",
    "delete_predictions": "deleted logged predictions",
    "set_webhook": "set a webhook",
    "test_webhook": "sent a test to a webhook",
    "delete_webhook": "deleted a webhook",
    "delete_deliveries": "deleted deliveries",
    "cancel_job": "cancelled a job",
    "delete_job": "deleted a job",
    "make_key": "made a key",
    "change_key": "changed a key",
    "rotate_key": "rotated a key",
    "revoke_key": "revoked a key",
    "sign_in": "signed in",
    "request": "sent another request",
}


def change_in_words(entry: Entry) -> str | None:
    """Return what an entry has changed of its model; None for another action."""
    if alias_moved_by(entry) == CURRENT and entry["version"]:
        return f"version {entry['version']} became current"
    version = f" (version {entry['version']})" if entry["version"] else ""
    return f"{CHANGES[entry['action']]}{version}" if entry["action"] in CHANGES else None
