"""A missing, broken or lying plugin gives its own documented error and harms nothing else."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from ksm_storage.contract.key_wrapper import Aad, KeyUri
from ksm_storage.errors import (
    DecryptionError,
    KsmStorageError,
    PluginConflictError,
    PluginContractError,
    PluginLoadError,
    PluginNotFoundError,
    ThrottledError,
)
from ksm_storage.keys.discovery import find_entry_points, find_plugin, resolve_key
from ksm_storage.keys.kek import Kek
from ksm_storage.testing.distributions import write_distribution

SECRET = "hunter2-in-a-foreign-text"
DEK = bytes(range(32))
AAD = Aad({"env": "test"})

HEADER = """
from ksm_storage.plugin import *
from ksm_storage.testing.memory_kek import MemoryKek
"""

HONEST = f"""{HEADER}
@hookimpl
def open_key_wrapper(key_id, settings):
    return MemoryKek(key_id)

@hookimpl
def recognise_key(text):
    return text if text.startswith("honest:") else None
"""

# What makes a plugin unloadable -> what the message names.
UNLOADABLE = {
    "import ksm_storage_of_nobody": "ModuleNotFoundError",
    "def open_key_wrapper(:": "SyntaxError",
    f"raise RuntimeError({SECRET!r})": "RuntimeError",
    "raise SystemExit(3)": "SystemExit",
    f"{HEADER}\n@hookimpl\ndef opne_key_wrapper(key_id, settings): ...": "'opne_key_wrapper'",
    f"{HEADER}\n@hookimpl\ndef open_key_wrapper(key, settings): ...": "PluginValidationError",
}

LYING_HOOKS = {
    "open_key_wrapper returns None": "def open_key_wrapper(key_id, settings): return None",
    "open_key_wrapper returns a class": "def open_key_wrapper(key_id, settings): return MemoryKek",
    "open_key_wrapper returns a string": "def open_key_wrapper(key_id, settings): return 'kek'",
    "open_key_wrapper raises": f"def open_key_wrapper(key_id, settings): raise OSError({SECRET!r})",
    "open_key_wrapper exits": "def open_key_wrapper(key_id, settings): raise SystemExit(3)",
    "options are strings": "def key_wrapper_options(): return ['region']",
    "options are a number": "def key_wrapper_options(): return 7",
    "options break off": "def key_wrapper_options(): yield Option('a', 'b'); raise OSError",
    "options are declared twice": "def key_wrapper_options(): return [Option('a', 'b')] * 2",
}

LYING_WRAPPERS = {
    "wrap returns bytes": "wrap = lambda self, dek, *, aad: b'wrapped'",
    "wrap returns the DEK": (
        "wrap = lambda self, dek, *, aad: WrappedDek('k', 'NONE', b'1' + dek + b'2')"
    ),
    "wrap returns no ciphertext": "wrap = lambda self, dek, *, aad: WrappedDek('k', 'A', b'')",
    "wrap returns text": "wrap = lambda self, dek, *, aad: WrappedDek('k', 'A', 'x' * 60)",
    "wrap returns too much": ("wrap = lambda self, dek, *, aad: WrappedDek('k', 'A', bytes(8193))"),
    "wrap names no algorithm": "wrap = lambda self, dek, *, aad: WrappedDek('k', '', b'x' * 60)",
    "wrap names an algorithm with a space": (
        "wrap = lambda self, dek, *, aad: WrappedDek('k', 'AES 256', b'x' * 60)"
    ),
    "wrap names a long algorithm": (
        "wrap = lambda self, dek, *, aad: WrappedDek('k', 'A' * 65, b'x' * 60)"
    ),
    "wrap names no key": "wrap = lambda self, dek, *, aad: WrappedDek('', 'A', b'x' * 60)",
    "wrap names a key by bytes": "wrap = lambda self, dek, *, aad: WrappedDek(b'k', 'A', b'xx')",
    "wrap names another key": "wrap = lambda self, dek, *, aad: WrappedDek('z', 'A', b'x' * 60)",
    "wrap raises": f"def wrap(self, dek, *, aad): raise KeyError({SECRET!r})",
    "wrap exits": f"def wrap(self, dek, *, aad): raise SystemExit({SECRET!r})",
    "unwrap returns text": "unwrap = lambda self, wrapped, *, aad: 'x' * 32",
    "unwrap returns None": "unwrap = lambda self, wrapped, *, aad: None",
    "unwrap returns a bytearray": "unwrap = lambda self, wrapped, *, aad: bytearray(32)",
    "unwrap raises": f"def unwrap(self, wrapped, *, aad): raise ValueError({SECRET!r})",
    "close raises": f"def close(self): raise ValueError({SECRET!r})",
}

_SIZE = "returned a ciphertext that is not 1 to 8192 bytes"

WHAT_THEY_DID = {
    "wrap returns bytes": "did not return a WrappedDek",
    "wrap returns the DEK": "returned the DEK unencrypted",
    "wrap returns no ciphertext": _SIZE,
    "wrap returns text": _SIZE,
    "wrap returns too much": _SIZE,
    "wrap names no algorithm": "returned an invalid algorithm name",
    "wrap names an algorithm with a space": "returned an invalid algorithm name",
    "wrap names a long algorithm": "returned an invalid algorithm name",
    "wrap names no key": "returned an invalid key id",
    "wrap names a key by bytes": "returned an invalid key id",
    "wrap names another key": "wrapped under a key other than the one given",
    "wrap raises": "raised KeyError",
    "wrap exits": "raised SystemExit",
    "unwrap returns text": "did not return bytes",
    "unwrap returns None": "did not return bytes",
    "unwrap returns a bytearray": "did not return bytes",
    "unwrap raises": "raised ValueError",
    "close raises": "raised ValueError",
}

Folder = Path


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    """Return a folder on ``sys.path``; its modules get names that no other test uses."""
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def install(folder: Path, provider: str, source: str, *, distribution: str | None = None) -> None:
    module = f"{provider}_{abs(hash((str(folder), distribution))):x}"
    name = distribution or f"ksm-storage-{provider}"
    write_distribution(folder, name, providers={provider: module}, modules={f"{module}.py": source})


def texts_of(error: KsmStorageError) -> str:
    return f"{error!s} {error.args!r} {error.as_dict()!r}"


def test_a_missing_plugin_is_not_found() -> None:
    with pytest.raises(PluginNotFoundError, match="'acme'"):
        find_plugin("acme")


def test_a_broken_plugin_of_this_project_is_not_a_slip_in_the_key(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if "site-packages" not in entry])
    name = "broken_gcp_plugin"
    modules = {f"{name}.py": "raise ImportError"}
    write_distribution(folder, "ksm-storage-gcp", providers={"gcp-kms": name}, modules=modules)

    with pytest.raises(PluginLoadError):
        resolve_key("projects/p/locations/l/keyRings/r/cryptoKeys/k")


def test_a_missing_plugin_of_this_project_comes_with_its_install_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The plugins beside the core are installed where these tests run.
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if "site-packages" not in entry])
    with pytest.raises(PluginNotFoundError) as caught:
        resolve_key("projects/p/locations/l/keyRings/r/cryptoKeys/k")

    assert caught.value.hint == (
        "in a clone of ksm-storage run: pip install '.[gcp]'; the names are on no index yet"
    )


def test_a_misspelt_provider_comes_with_the_right_one(folder: Folder) -> None:
    install(folder, "honest", HONEST)

    with pytest.raises(PluginNotFoundError) as caught:
        find_plugin("honset")

    assert caught.value.hint == "did you mean 'honest'?"


@pytest.mark.parametrize("source", UNLOADABLE)
def test_a_broken_plugin_is_a_load_error(folder: Folder, source: str) -> None:
    install(folder, "broken", source)

    with pytest.raises(PluginLoadError) as caught:
        find_plugin("broken")

    assert UNLOADABLE[source] in caught.value.message
    assert "ksm-storage-broken" in caught.value.message
    assert caught.value.__cause__ is not None
    assert SECRET not in texts_of(caught.value)


def test_a_misspelt_hook_comes_with_the_right_one(folder: Folder) -> None:
    install(folder, "broken", f"{HEADER}\n@hookimpl\ndef opne_key_wrapper(key_id, settings): ...")

    with pytest.raises(PluginLoadError) as caught:
        find_plugin("broken")

    assert caught.value.hint == "did you mean 'open_key_wrapper'?"


def test_an_unknown_hook_comes_with_the_known_ones(folder: Folder) -> None:
    install(folder, "broken", f"{HEADER}\n@hookimpl\ndef xyzzy(): ...")

    with pytest.raises(PluginLoadError, match="'xyzzy'") as caught:
        find_plugin("broken")

    assert caught.value.hint == (
        "valid hooks: audit_event, key_covers, key_wrapper_options, newest_version, "
        "open_key_wrapper, recognise_key"
    )


def test_two_distributions_of_one_provider_are_a_conflict_that_names_both(folder: Folder) -> None:
    install(folder, "honest", HONEST, distribution="first-plugin")
    install(folder, "honest", HONEST, distribution="second-plugin")

    with pytest.raises(PluginConflictError, match="first-plugin and second-plugin"):
        find_plugin("honest")


@pytest.mark.parametrize("lie", LYING_HOOKS)
def test_a_lying_hook_is_a_contract_error(folder: Folder, lie: str) -> None:
    install(folder, "lying", f"{HEADER}\n@hookimpl\n{LYING_HOOKS[lie]}")

    with pytest.raises(PluginContractError) as caught:
        Kek.open(KeyUri("lying", "k"))

    hook = "key_wrapper_options" if "option" in lie else "open_key_wrapper"
    assert f"{hook!r} of ksm-storage-lying" in caught.value.message
    assert SECRET not in texts_of(caught.value)


@pytest.mark.parametrize("lie", LYING_WRAPPERS)
def test_a_lying_key_wrapper_is_a_contract_error(folder: Folder, lie: str) -> None:
    kek = lying_kek(folder, LYING_WRAPPERS[lie])

    with pytest.raises(PluginContractError) as caught:
        use(kek)

    assert caught.value.key == "lying://k"
    assert caught.value.operation == lie.split()[0]
    assert caught.value.message == f"the plugin for 'lying' {WHAT_THEY_DID[lie]}"
    assert SECRET not in texts_of(caught.value)


@pytest.mark.parametrize("size", [1, 8192])
def test_a_ciphertext_of_any_size_that_an_envelope_holds_is_taken(
    folder: Folder, size: int
) -> None:
    body = f"wrap = lambda self, dek, *, aad: WrappedDek('k', 'A', bytes({size}))"

    assert len(lying_kek(folder, body).wrap(DEK, aad=AAD).ciphertext) == size


def test_a_contract_error_says_which_plugin_did_what_and_whom_to_tell(folder: Folder) -> None:
    kek = lying_kek(folder, LYING_WRAPPERS["wrap returns bytes"])

    with pytest.raises(PluginContractError) as caught:
        kek.wrap(DEK, aad=AAD)

    assert caught.value.as_dict() == {
        "error": "PluginContractError",
        "message": "the plugin for 'lying' did not return a WrappedDek",
        "hint": "report this to the plugin's maintainers",
        "provider": "lying",
        "key": "lying://k",
        "operation": "wrap",
        "retryable": False,
        "exit_code": 3,
    }


def test_the_cause_of_a_foreign_error_is_kept(folder: Folder) -> None:
    kek = lying_kek(folder, LYING_WRAPPERS["wrap raises"])

    with pytest.raises(PluginContractError) as caught:
        kek.wrap(DEK, aad=AAD)

    assert isinstance(caught.value.__cause__, KeyError)


def test_a_property_that_raises_is_a_contract_error(folder: Folder) -> None:
    body = f"@property\n    def binds_aad(self): raise ValueError({SECRET!r})"

    with pytest.raises(PluginContractError) as caught:
        _ = lying_kek(folder, body).binds_aad

    assert SECRET not in texts_of(caught.value)


def test_opening_does_not_ask_whether_the_aad_is_bound(folder: Folder) -> None:
    # It may have to ask the key service, which opening must not.
    body = "@property\n    def binds_aad(self): raise ValueError"

    lying_kek(folder, body).close()


def test_an_unwrapped_dek_of_another_length_is_refused_as_wrong(folder: Folder) -> None:
    kek = lying_kek(folder, "unwrap = lambda self, wrapped, *, aad: bytes(33)")

    with pytest.raises(DecryptionError) as caught:
        use(kek)

    assert caught.value.as_dict() == {
        "error": "DecryptionError",
        "message": "the unwrapped data key is 33 bytes, not 32",
        "hint": "ksm-storage did not wrap it, or the key service returned wrong data",
        "provider": "lying",
        "key": "lying://k",
        "operation": "unwrap",
        "retryable": False,
        "exit_code": 6,
    }


def test_a_documented_error_passes_and_is_completed(folder: Folder) -> None:
    body = "def wrap(self, dek, *, aad): raise ThrottledError('too fast')"

    with pytest.raises(ThrottledError) as caught:
        lying_kek(folder, body).wrap(DEK, aad=AAD)

    assert caught.value.as_dict() == {
        "error": "ThrottledError",
        "message": "too fast",
        "provider": "lying",
        "key": "lying://k",
        "operation": "wrap",
        "retryable": True,
        "exit_code": 5,
    }


def harmful_plugins() -> Mapping[str, str]:
    recognisers = {
        "raises": "def recognise_key(text): raise OSError",
        "exits": "def recognise_key(text): raise SystemExit",
        "refuses": "def recognise_key(text): raise SettingsError('no key')",
        "junk": "def recognise_key(text): return 'a b'",
        "bytes": "def recognise_key(text): return b'k'",
    }
    hooks = {name: f"{HEADER}\n@hookimpl\n{text}" for name, text in recognisers.items()}
    return {**{f"unloadable{n}": text for n, text in enumerate(UNLOADABLE)}, **hooks}


@pytest.mark.parametrize("harm", harmful_plugins())
def test_a_harmful_plugin_harms_no_other(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, harm: str
) -> None:
    install(folder, "honest", HONEST)
    # First on the path, so that it is asked before the honest one.
    monkeypatch.syspath_prepend(folder / "first")
    install(folder / "first", harm, harmful_plugins()[harm])

    assert {harm, "honest"} <= {entry.name for entry in find_entry_points()}
    assert resolve_key("honest:key") == KeyUri("honest", "honest:key")
    assert resolve_key("honest://key") == KeyUri("honest", "key")
    with Kek.open(KeyUri("honest", "key")) as kek:
        assert kek.unwrap(kek.wrap(DEK, aad=AAD), aad=AAD) == DEK


def test_a_conflict_of_others_harms_no_provider(folder: Folder) -> None:
    install(folder, "twice", HONEST, distribution="first-plugin")
    install(folder, "twice", HONEST, distribution="second-plugin")
    install(folder, "honest", HONEST)

    assert find_plugin("honest").provider == "honest"


def test_searching_and_naming_import_no_plugin(folder: Folder) -> None:
    install(folder, "broken", "raise AssertionError('imported')")

    entries = {entry.name: entry for entry in find_entry_points()}

    assert entries["broken"].distribution == "ksm-storage-broken"
    assert resolve_key("broken://key") == KeyUri("broken", "key")


def lying_kek(folder: Path, body: str) -> Kek:
    opens = "@hookimpl\ndef open_key_wrapper(key_id, settings): return Lying(key_id)"
    install(folder, "lying", f"{HEADER}\nclass Lying(MemoryKek):\n    {body}\n\n{opens}\n")
    return Kek.open(KeyUri("lying", "k"))


def use(kek: Kek) -> None:
    kek.unwrap(kek.wrap(DEK, aad=AAD), aad=AAD)
    kek.close()
