"""Libraries whose list of functions is missing, refused, nowhere or empty; each built here."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from ksm_storage.errors import KsmStorageError, ProviderError, SettingsError, UnavailableError

from .opening import AAD, DEK, ONE, open_kek

COMPILER = shutil.which("cc") or shutil.which("gcc")
LIST = "unsigned long C_GetFunctionList(void **list)"

pytestmark = pytest.mark.skipif(COMPILER is None, reason="there is no C compiler")


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        ("int another_function(void) { return 0; }", SettingsError, "cannot load"),
        (f"{LIST} {{ *list = 0; return 0; }}", SettingsError, "has no list of functions"),
        (f"{LIST} {{ return 0x05; }}", UnavailableError, "CKR_GENERAL_ERROR"),
        (f"{LIST} {{ return 0x80000001; }}", ProviderError, "C_GetFunctionList: 0x80000001"),
        (
            "struct { unsigned char version[2]; void *functions[68]; } empty;"
            f"{LIST} {{ *list = &empty; return 0; }}",
            ProviderError,
            "CKR_FUNCTION_NOT_SUPPORTED",
        ),
    ],
    ids=["missing", "nowhere", "refused", "refused by the vendor", "empty"],
)
def test_a_list_that_cannot_be_used_is_an_error_with_advice(
    tmp_path: Path, source: str, error: type[KsmStorageError], message: str
) -> None:
    module = _built(tmp_path, source)

    with open_kek(ONE, module=str(module)) as kek, pytest.raises(error, match=message) as caught:
        kek.wrap(DEK, aad=AAD)

    assert type(caught.value) is error
    assert caught.value.hint


def _built(folder: Path, source: str) -> Path:
    assert COMPILER is not None
    written, library = folder / "library.c", folder / "library.so"
    written.write_text(source)
    command = [COMPILER, "-shared", "-fPIC", "-o", str(library), str(written)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    return library
