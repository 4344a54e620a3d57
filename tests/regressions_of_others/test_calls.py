"""How often a key service is asked, and what a start costs."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import ksm_storage
from ksm_storage.cli.main import main
from ksm_storage.errors import UnavailableError
from tests.unit.storage.fixtures import write_plain
from tests.unit.storage.planted import Counted

ONE = "counted://one"


def many_files(folder: Path, counted: Counted, number: int) -> list[str]:
    paths = [write_plain(folder / f"c{place}.json") for place in range(number)]
    for path in paths:
        ksm_storage.protect(path, [ONE])
    counted.calls.clear()
    return [str(path) for path in paths]


def test_sops_885_many_files_are_opened_by_one_call_each(folder: Path, counted: Counted) -> None:
    """There, hundreds of files are decrypted one after another, each by new requests to the vault;
    here, files are opened side by side, each by one call of its own.
    """
    paths = many_files(folder, counted, 12)

    assert main(["check", *paths, "--parallel", "4"]) == 0

    assert counted.calls == [("unwrap", "one")] * 12


def test_sops_1079_a_look_at_many_files_calls_nobody(
    folder: Path, counted: Counted, capsys: pytest.CaptureFixture[str]
) -> None:
    """There, every search through a repository of sealed files asks the key service for each; here,
    what a file says of itself is read without a key.
    """
    paths = many_files(folder, counted, 3)

    assert [main(["inspect", path]) for path in paths] == [0, 0, 0]

    assert capsys.readouterr().out.count("counted://one") == 3
    assert counted.calls == []


def test_aws_encryption_sdk_python_5_a_save_calls_nobody(folder: Path, counted: Counted) -> None:
    """There, each message costs a call for a data key; here, a process calls once, and each save
    takes fresh keys from the DEK and a new message id.
    """
    storage = ksm_storage.open_storage(folder / "config", keys=[ONE])
    for number in range(50):
        storage.set("hostname", f"host{number}")
        assert storage.get("hostname") == f"host{number}"

    assert counted.calls == [("wrap", "one"), ("unwrap", "one")]


@pytest.fixture
def soft_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Name an AES key in a new token of SoftHSM."""
    pytest.importorskip("ksm_storage_entrust_hsm")
    library = next(filter(os.path.exists, _SOFTHSM), None)
    if library is None:
        pytest.skip("SoftHSM is not installed")
    (tmp_path / "tokens").mkdir()
    configuration = tmp_path / "softhsm2.conf"
    configuration.write_text(f"directories.tokendir = {tmp_path}/tokens\n")
    monkeypatch.setenv("SOFTHSM2_CONF", str(configuration))
    pins = ("--pin", "1234", "--so-pin", "12345678")
    for command in (
        ("softhsm2-util", "--init-token", "--free", "--label", "others", *pins),
        (sys.executable, "-c", _MAKE_KEY, library),
    ):
        subprocess.run(command, check=True, capture_output=True, timeout=30)
    monkeypatch.setenv("KSM_STORAGE_PKCS11_MODULE", library)
    monkeypatch.setenv("KSM_STORAGE_PKCS11_PIN", "1234")
    return "pkcs11:token=others;object=app"


_SAVES = """
import sys
import ksm_storage
from ksm_storage_entrust_hsm import keys
looked_up, real = [], keys.find_key
def find_key(*arguments):
    looked_up.append(arguments)
    return real(*arguments)
keys.find_key = find_key
storage = ksm_storage.open_storage(sys.argv[1], keys=[sys.argv[2]])
for number in range(20):
    storage.set("hostname", f"host{number}")
print(len(looked_up))
"""


def test_teleport_58950_a_key_is_looked_up_once(folder: Path, soft_token: str) -> None:
    """There, a key was looked up in the HSM before each signature, which cost most of the time;
    here, an open storage has its DEK, and neither reads nor saves touch the token.
    """
    # In a process of its own: the library reads its configuration once, and other tests use it.
    command = [sys.executable, "-c", _SAVES, str(folder / "config"), soft_token]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=50)

    # Once to wrap, and once to prove that the key unwraps what it wrapped.
    assert done.stdout == "2\n"


def loaded_by(code: str) -> set[str]:
    """Return the modules that are loaded after the code ran."""
    told = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules)"],
        capture_output=True,
        text=True,
        timeout=50,
        check=True,
    )
    return set(told.stdout.split())


def test_keyring_403_importing_loads_no_back_end() -> None:
    """There, importing the package loaded every back end; here, importing ours, and listing the
    providers, load neither that package nor any plugin.
    """
    loaded = loaded_by("import ksm_storage.storage.sources, ksm_storage.cli.providers")

    assert not {"keyring", "secretstorage", "boto3", "oci"} & loaded
    assert not any(name.startswith("ksm_storage_") for name in loaded)


@pytest.fixture
def silent_bus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Listen as a bus does, take every connection and never say a word."""
    pytest.importorskip("secretstorage")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"\0ksm-storage-others-{os.getpid()}")
        listener.listen()
        name = f"unix:abstract=ksm-storage-others-{os.getpid()}"
        monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", name)
        yield


def test_keyring_420_a_bus_that_never_answers_is_given_up(folder: Path, silent_bus: None) -> None:
    """There, an import waited a minute or two for a D-Bus that did not answer; here, an import asks
    nobody, and a keyring that is asked has a few seconds.
    """
    with pytest.raises(UnavailableError, match="no usable OS keyring"):
        ksm_storage.open_storage(folder / "config", keys=["os-keyring://default"])


def test_keyring_473_another_key_does_not_ask_the_keyring(
    folder: Path, key: str, silent_bus: None
) -> None:
    """There, programs waited for the desktop's keyring that they did not use; here, a file under
    another key opens without it, on a desktop where it hangs.
    """
    path = write_plain(folder / "config")
    ksm_storage.protect(path, [key])

    loaded = loaded_by(f"import ksm_storage; ksm_storage.open_storage({str(path)!r})")

    assert not {"keyring", "secretstorage", "jeepney"} & loaded


def test_oci_python_sdk_386_a_file_under_another_key_does_not_import_it(sealed: Path) -> None:
    """There, the import of the SDK costs seconds; here, a program that has the plugin installed and
    does not use it does not import it.
    """
    pytest.importorskip("ksm_storage_oracle_kv")

    loaded = loaded_by(f"import ksm_storage; ksm_storage.open_storage({str(sealed)!r})")

    assert not any(name.split(".")[0] == "oci" for name in loaded)


def test_oci_python_sdk_471_one_service_is_imported_and_not_all() -> None:
    """There, importing the SDK imports every service of the cloud; here, using a key imports the
    one that is used, and the two that the SDK itself needs.
    """
    pytest.importorskip("ksm_storage_oracle_kv")

    loaded = loaded_by("import ksm_storage_oracle_kv.sdk_client")

    assert "oci.key_management" in loaded
    assert not {"oci.core", "oci.database", "oci.identity"} & loaded


_SOFTHSM = (
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
    "/opt/homebrew/lib/softhsm/libsofthsm2.so",
)
# In a process of its own: it would not share an initialised library.
_MAKE_KEY = """
import sys
import pkcs11
token = pkcs11.lib(sys.argv[1]).get_token(token_label="others")
with token.open(rw=True, user_pin="1234") as session:
    session.generate_key(pkcs11.KeyType.AES, 256, label="app", id=b"1", store=True)
"""
