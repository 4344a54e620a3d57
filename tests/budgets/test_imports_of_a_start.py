"""Each package of others that a start loads: a longer list is slower."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.test_imports import loaded
from tests.unit.storage.fixtures import settle

OTHERS = {"cryptography"}
# What defines classes, parses sources or searches what is installed: 10 ms of a start.
NOT_TO_OPEN = {
    "ast",
    "base64",
    "copy",
    "dataclasses",
    "datetime",
    "dis",
    "importlib.metadata",
    "inspect",
    "ksm_storage.contract.hookspecs",
    "struct",
    "threading",
    "tokenize",
    "weakref",
}


# Each takes 0.07 ms before its first line runs.
OURS = {
    "audit.events",
    "config.document",
    "contract.key_wrapper",
    "contract.settings",
    "envelope.codec",
    "envelope.model",
    "envelope.opening",
    "errors",
    "files.reading",
    "keys.discovery",
    "keys.kek",
    "keys.setting_sources",
    "named_tuple",
    "plugin",
    "plugin_kit.exception_chain",
    "process",
    "providers.aes_gcm_wrapper",
    "providers.key_file",
    "storage.encrypted_storage",
    "storage.open_policy",
    "storage.snapshot",
    "storage.sources",
    "wire.json_objects",
}


def test_importing_the_package_loads_one_module() -> None:
    # Without site, which loads what the folder of packages asks for.
    assert loaded("import ksm_storage", site=False) == {"__future__", "ksm_storage"}


def test_opening_under_a_key_file_loads_these_packages_of_others(sealed: Path) -> None:
    before = loaded("pass")
    names = {name.partition(".")[0] for name in loaded(opening(sealed)) - before}

    assert {name for name in names if not is_of_python(name)} - {"ksm_storage"} == OTHERS


def test_opening_under_a_key_file_loads_these_modules_of_ours(sealed: Path) -> None:
    names = {name.partition(".")[2] for name in loaded(opening(sealed)) if is_ours(name)}
    folders = {name.rpartition(".")[0] for name in OURS}

    assert names - folders - {""} == OURS


def test_opening_under_a_key_file_loads_none_of_these(sealed: Path) -> None:
    assert loaded(opening(sealed)) & NOT_TO_OPEN == set()


def test_a_get_and_a_second_opening_load_nothing_more(sealed: Path) -> None:
    twice = f"{opening(sealed)}; {opening(sealed)}"

    assert loaded(twice) == loaded(opening(sealed))


def test_showing_a_header_loads_no_cryptography(sealed: Path) -> None:
    names = {name.partition(".")[0] for name in loaded(command("inspect", str(sealed)))}

    assert "click" in names
    assert names & {"cryptography", "_cffi_backend", "pluggy", "_hashlib"} == set()


def test_showing_the_version_loads_no_command_line() -> None:
    names = loaded(command("--version"))

    assert "ksm_storage.cli.main" in names
    assert "click" not in names


def command(*arguments: str) -> str:
    # Its own output would stand before the list of the modules.
    return (
        "import contextlib, os; from ksm_storage.cli.main import main\n"
        "with open(os.devnull, 'w') as sink, contextlib.redirect_stdout(sink):\n"
        f"    assert main({list(arguments)!r}) == 0"
    )


def opening(path: Path) -> str:
    # A read of a file that was written this moment takes its lock, and loads more for that.
    settle(path)
    return f"import ksm_storage; ksm_storage.open_storage({str(path)!r}).get('hostname')"


def is_ours(name: str) -> bool:
    return name.partition(".")[0] == "ksm_storage"


def is_of_python(name: str) -> bool:
    # What begins with an underscore is a part of a package, as cryptography's _openssl is.
    return name in sys.stdlib_module_names or name.startswith("_")
