"""CreateAlias, UpdateAlias, DeleteAlias, ListAliases."""

import re
from typing import Any

from ksm_storage_emulators.aws_kms.arguments import page
from ksm_storage_emulators.aws_kms.authorization import authorize
from ksm_storage_emulators.aws_kms.errors import AwsError, validation_error
from ksm_storage_emulators.aws_kms.operation import Operation, require_not_pending
from ksm_storage_emulators.aws_kms.store import Alias, alias_arn

_PATTERN = re.compile(r"[a-zA-Z0-9:/_-]+")


def create_alias(operation: Operation) -> None:
    """Create an alias.

    https://docs.aws.amazon.com/kms/latest/APIReference/API_CreateAlias.html
    """
    name = _name(operation)
    key = operation.key("TargetKeyId")
    require_not_pending(key)
    if operation.store.alias(operation.region, name) is not None:
        text = f"An alias with the name {alias_arn(operation.region, name)} already exists"
        raise AwsError("AlreadyExistsException", text)
    alias = Alias(name, operation.region, key.key_id, operation.now, operation.now)
    operation.store.put_alias(alias)


def update_alias(operation: Operation) -> None:
    """Point an alias to another key.

    https://docs.aws.amazon.com/kms/latest/APIReference/API_UpdateAlias.html
    """
    name = _name(operation)
    key = operation.key("TargetKeyId")
    alias = _existing(operation, name)
    previous = operation.store.find(operation.region, alias.key_id)
    if previous is not None and previous.key_spec != key.key_spec:
        text = "Alias cannot be moved to a key of another type"
        raise AwsError("ValidationException", text)
    require_not_pending(key)
    alias.key_id = key.key_id
    alias.updated_at = operation.now


def delete_alias(operation: Operation) -> None:
    """Delete an alias.

    https://docs.aws.amazon.com/kms/latest/APIReference/API_DeleteAlias.html
    """
    alias = _existing(operation, _name(operation))
    operation.named_key(alias.key_id, operation.action)
    operation.store.remove_alias(alias)


def list_aliases(operation: Operation) -> dict[str, Any]:
    """List aliases, of one key or all.

    https://docs.aws.amazon.com/kms/latest/APIReference/API_ListAliases.html
    """
    authorize(operation.caller, "kms:ListAliases", "*")
    aliases = operation.store.aliases(operation.region)
    if operation.arguments.has("KeyId"):
        arn = operation.store.arn_of(operation.region, operation.arguments.text("KeyId"))
        wanted = operation.store.by_arn(arn).key_id
        aliases = [alias for alias in aliases if alias.key_id == wanted]
    return page(operation.arguments, "Aliases", [_entry(alias) for alias in aliases])


def _entry(alias: Alias) -> dict[str, Any]:
    return {
        "AliasName": alias.name,
        "AliasArn": alias.arn,
        "TargetKeyId": alias.key_id,
        "CreationDate": alias.created_at,
        "LastUpdatedDate": alias.updated_at,
    }


def _name(operation: Operation) -> str:
    name = operation.arguments.text("AliasName", max_length=256)
    if _PATTERN.fullmatch(name) is None:
        pattern = f"Member must satisfy regular expression pattern: ^{_PATTERN.pattern}$"
        raise validation_error("aliasName", pattern)
    if not name.startswith("alias/"):
        raise AwsError("ValidationException", 'Alias must start with the prefix "alias/".')
    authorize(operation.caller, operation.action, alias_arn(operation.region, name))
    if name.startswith("alias/aws/"):
        raise AwsError("InvalidAliasNameException", "Alias names with 'alias/aws/' are reserved")
    return name


def _existing(operation: Operation, name: str) -> Alias:
    alias = operation.store.alias(operation.region, name)
    if alias is None:
        text = f"Alias {alias_arn(operation.region, name)} is not found."
        raise AwsError("NotFoundException", text)
    return alias
