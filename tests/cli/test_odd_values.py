"""Fields that another client filled in its own way are shown all the same."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from ksm_storage_local_vault.owner.access import create_application
from ksm_storage_local_vault.owner.records import add_records
from ksm_storage_local_vault.testing import APP_NAME, running_vault

from tests.cli.command import run
from tests.cli.sealed_device import bind_device

VALUES = {"text": "abc", "number": 5, "object": {"a": 1}, "none": None, "empty": [], "list": ["x"]}
# JSON can name half of a character, which no encoding can write.
HALF = "a\ud83d"
SHOWN = {"text": "abc\n", "number": "5\n", "object": '{"a": 1}\n', "list": "x\n"}


@pytest.fixture(scope="module")
def arguments(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """Return what follows ``secret get``."""
    fields = [{"type": name, "value": value} for name, value in VALUES.items()]
    half = [{"type": "half", "value": [HALF]}, {"type": "inside", "value": [{"a": HALF}]}]
    with running_vault(tmp_path_factory.mktemp("vault")) as vault:
        with vault.owner() as owner:
            create_application(owner, APP_NAME)
            records: list[Mapping[str, object]] = [
                {"title": "r", "type": "x", "fields": fields},
                {"title": "h", "type": "x", "fields": half},
            ]
            add_records(owner, records, app=APP_NAME)
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


@pytest.mark.parametrize("name", ["half", "inside"])
@pytest.mark.parametrize("how", ["get", "notation", "run", "inject", "base64"])
def test_half_of_a_surrogate_pair_is_a_documented_error(
    arguments: list[str], name: str, how: str, tmp_path: Path
) -> None:
    file, _, *rest = arguments
    reference = f"keeper://h/field/{name}" + ("|base64" if how == "base64" else "")
    template = tmp_path / "template"
    template.write_text(f"{{{{ {reference} }}}}")
    commands = {
        "get": ["secret", "get", file, "h", *rest, "--field", name],
        "notation": ["secret", "notation", file, reference, *rest],
        "run": ["run", file, *rest[1:], "--env", f"X={reference}", "--", "true"],
        "inject": ["inject", file, str(template), *rest[1:]],
        "base64": ["inject", file, str(template), *rest[1:]],
    }

    done = run(*commands[how])

    assert (done.returncode, done.stdout) == (8, ""), done.stderr
    assert "contains half of a surrogate pair" in done.stderr


@pytest.mark.parametrize(("name", "value"), [("half", [HALF]), ("inside", [{"a": HALF}])])
def test_half_of_a_surrogate_pair_is_escaped_in_json(
    arguments: list[str], name: str, value: object
) -> None:
    file, _, *rest = arguments

    done = run("secret", "get", file, "h", *rest, "--field", name, "--json")
    whole = run("secret", "get", file, "h", *rest)

    assert json.loads(done.stdout) == value
    assert (whole.returncode, "a\\ud83d" in whole.stdout) == (0, True), whole.stderr
