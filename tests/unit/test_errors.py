"""An error carries what a program needs to act on it."""

from __future__ import annotations

import inspect
import pickle

import pytest

from ksm_storage import errors
from ksm_storage.errors import KsmStorageError, PermissionDeniedError, ProviderError

CLASSES = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, KsmStorageError)
]


@pytest.mark.parametrize("kind", CLASSES)
def test_every_class_is_built_from_one_message(kind: type[KsmStorageError]) -> None:
    error = kind("it failed")

    assert str(error) == error.message == "it failed"
    assert error.hint is None


@pytest.mark.parametrize("kind", CLASSES)
def test_every_class_is_drawn_in_the_tree_below_its_parent(kind: type[KsmStorageError]) -> None:
    tree = errors.__doc__ or ""
    depth = {_name(line): _depth(line) for line in tree.splitlines()}

    assert kind.__name__ in depth
    if kind is not KsmStorageError:
        assert depth[kind.__name__] == depth[kind.__mro__[1].__name__] + 1


def _name(line: str) -> str:
    return next((word for word in line.split() if word.endswith("Error")), "")


def _depth(line: str) -> int:
    return (len(line) - len(line.lstrip("|-` ")) - 4) // 4


def test_plain_data_leaves_out_what_is_absent() -> None:
    assert KsmStorageError("it failed").as_dict() == {
        "error": "KsmStorageError",
        "message": "it failed",
        "retryable": False,
        "exit_code": 1,
    }


def test_plain_data_holds_all_that_is_known() -> None:
    error = PermissionDeniedError(
        "the caller may not decrypt",
        hint="grant it",
        provider="aws-kms",
        key="aws-kms://k",
        operation="unwrap",
        permission="kms:Decrypt",
        request_id="4242",
    )
    error.causes = (ProviderError("another"),)

    assert error.as_dict() == {
        "error": "PermissionDeniedError",
        "message": "the caller may not decrypt",
        "hint": "grant it",
        "provider": "aws-kms",
        "key": "aws-kms://k",
        "operation": "unwrap",
        "permission": "kms:Decrypt",
        "request_id": "4242",
        "retryable": False,
        "exit_code": 4,
        "causes": [ProviderError("another").as_dict()],
    }


@pytest.mark.parametrize("kind", CLASSES)
def test_only_exit_code_five_is_retryable(kind: type[KsmStorageError]) -> None:
    assert kind.retryable is (kind.exit_code == 5)


def test_an_error_crosses_to_another_process() -> None:
    error = PermissionDeniedError("no", hint="grant it", provider="aws-kms")

    copy = pickle.loads(pickle.dumps(error))

    assert copy.as_dict() == error.as_dict()
