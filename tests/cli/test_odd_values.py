"""Fields that another client filled in its own way are shown all the same."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from ksm_storage_local_vault.owner.access import create_application
from ksm_storage_local_vault.owner.records import add_records
from ksm_storage_local_vault.testing import APP_NAME, running_vault

from tests.cli.command import run
from tests.cli.sealed_device import bind_device

VALUES = {"text": "abc", "number": 5, "object": {"a": 1}, "none": None, "empty": [], "list": ["x"]}
SHOWN = {"text": "abc\n", "number": "5\n", "object": '{"a": 1}\n', "list": "x\n"}


@pytest.fixture(scope="module")
def arguments(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """Return what follows ``secret get``."""
    fields = [{"type": name, "value": value} for name, value in VALUES.items()]
    with running_vault(tmp_path_factory.mktemp("vault")) as vault:
        with vault.owner() as owner:
            create_application(owner, APP_NAME)
            add_records(owner, [{"title": "r", "type": "x", "fields": fields}], app=APP_NAME)
        sealed = bind_device(vault, tmp_path_factory.mktemp("sealed"))
        yield [str(sealed), "r", "--reveal", "--ca-file", vault.ca_file]


@pytest.mark.parametrize("name", VALUES)
def test_one_field_is_printed(arguments: list[str], name: str) -> None:
    done = run("secret", "get", *arguments, "--field", name)
    as_json = run("secret", "get", *arguments, "--field", name, "--json")

    assert (done.returncode, done.stdout) == (0, SHOWN.get(name, ""))
    value = VALUES[name]
    as_list = value if isinstance(value, list) else [] if value is None else [value]
    assert json.loads(as_json.stdout) == as_list


def test_the_whole_record_is_printed(arguments: list[str]) -> None:
    done = run("secret", "get", *arguments)

    assert done.returncode == 0, done.stderr
    shown = {name: rest.strip() for name, _, rest in map(_parted, done.stdout.splitlines())}
    assert {name: shown[name] for name in VALUES} == {
        name: SHOWN.get(name, "").strip() for name in VALUES
    }


def _parted(line: str) -> tuple[str, str, str]:
    return line.partition(" ")
