"""Each module of ours, and each package of others, that a start loads: a longer list is slower."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.test_imports import loaded

OPENING = {
    "ksm_storage",
    "ksm_storage.aad",
    "ksm_storage.audit",
    "ksm_storage.audit.events",
    "ksm_storage.config",
    "ksm_storage.config.document",
    "ksm_storage.config.json_form",
    "ksm_storage.core_dumps",
    "ksm_storage.discovery",
    "ksm_storage.entry_points",
    "ksm_storage.envelope",
    "ksm_storage.envelope.codec",
    "ksm_storage.envelope.derivation",
    "ksm_storage.envelope.header_reader",
    "ksm_storage.envelope.model",
    "ksm_storage.envelope.opening",
    "ksm_storage.errors",
    "ksm_storage.exception_chain",
    "ksm_storage.gc_pause",
    "ksm_storage.hookspecs",
    "ksm_storage.kek",
    "ksm_storage.key_uri",
    "ksm_storage.key_wrapper",
    "ksm_storage.known_providers",
    "ksm_storage.plugin",
    "ksm_storage.providers",
    "ksm_storage.providers.aes_gcm_wrapper",
    "ksm_storage.providers.key_file",
    "ksm_storage.quiet_logs",
    "ksm_storage.setting_sources",
    "ksm_storage.settings",
    "ksm_storage.storage",
    "ksm_storage.storage.encrypted",
    "ksm_storage.storage.envelope_file",
    "ksm_storage.storage.file_errors",
    "ksm_storage.storage.lock",
    "ksm_storage.storage.opening",
    "ksm_storage.storage.reading",
    "ksm_storage.storage.sealed_file",
    "ksm_storage.storage.shared_opening",
    "ksm_storage.storage.signature",
    "ksm_storage.storage.sources",
    "ksm_storage.storage.state",
    "ksm_storage.storage.sync",
    "ksm_storage.storage.trust",
}
OTHERS = {"cryptography", "pluggy"}


def test_importing_the_package_loads_one_module() -> None:
    # Without site, which loads what the folder of packages asks for.
    assert loaded("import ksm_storage", site=False) == {"__future__", "ksm_storage"}


def test_opening_under_a_key_file_loads_these_modules_of_ours(sealed: Path) -> None:
    assert of_ours(loaded(opening(sealed))) == OPENING


def test_opening_under_a_key_file_loads_these_packages_of_others(sealed: Path) -> None:
    before = loaded("pass")
    names = {name.partition(".")[0] for name in loaded(opening(sealed)) - before}

    assert {name for name in names if not is_of_python(name)} - {"ksm_storage"} == OTHERS


def test_a_get_and_a_second_opening_load_nothing_more(sealed: Path) -> None:
    twice = f"{opening(sealed)}; {opening(sealed)}"

    assert of_ours(loaded(twice)) == OPENING


def opening(path: Path) -> str:
    return f"import ksm_storage; ksm_storage.open_storage({str(path)!r}).get('hostname')"


def of_ours(names: set[str]) -> set[str]:
    return {name for name in names if name.partition(".")[0] == "ksm_storage"}


def is_of_python(name: str) -> bool:
    # What begins with an underscore is a part of a package, as cryptography's _openssl is.
    return name in sys.stdlib_module_names or name.startswith("_")
