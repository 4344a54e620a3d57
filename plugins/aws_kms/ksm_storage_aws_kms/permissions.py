"""The policy statement that grants a permission on a key."""

from __future__ import annotations

import json

from .key_names import KeyName


def statement(permission: str, name: KeyName, *, partition: str, region: str) -> str:
    """Return the statement of an identity policy for the key that a name stands for.

    An alias is no resource of these permissions, so that it becomes a condition.
    """
    if name.region is None:
        name = name._replace(partition=partition, region=region, account="*")
    granted: dict[str, object] = {
        "Effect": "Allow",
        "Action": permission,
        "Resource": str(name._replace(resource="*") if name.is_alias else name),
    }
    if name.is_alias:
        granted["Condition"] = {"ForAnyValue:StringEquals": {"kms:ResourceAliases": name.resource}}
    return json.dumps(granted)
