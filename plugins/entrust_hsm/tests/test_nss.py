"""Keys in a database of NSS, whose token is stricter than others about buffers."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .soft_token import PIN

_PLACES = ("/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib")
_LIBRARIES = [Path(place, "libsoftokn3.so") for place in _PLACES]
LIBRARY = next((str(path) for path in _LIBRARIES if path.exists()), None)
HERE = str(Path(__file__).parent.parent)

pytestmark = pytest.mark.skipif(
    LIBRARY is None or shutil.which("symkeyutil") is None,
    reason="NSS is not installed: scripts/system-packages does it",
)

# In a process of its own: the library takes the place of its database once in a process.
_USE_KEY = """
import sys
from tests.opening import AAD, DEK, open_kek
from ksm_storage.keys.kek_abilities import describe_key, probe_permissions
name = "token=NSS%20Certificate%20DB;object=one"
parameters = f"configDir='sql:{sys.argv[2]}'"
with open_kek(
    name, module=sys.argv[1], module_parameters=parameters, mechanism=sys.argv[3]
) as kek:
    wrapped = kek.wrap(DEK, aad=AAD)
    assert kek.unwrap(wrapped, aad=AAD) == DEK
    assert all(probe.granted for probe in probe_permissions(kek))
    print(wrapped.algorithm, describe_key(kek).algorithm, describe_key(kek).state)
"""


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a database with a key of 256 bits."""
    folder = tmp_path_factory.mktemp("nss")
    pin = folder / "pin"
    pin.write_text(f"{PIN}\n")
    place = ("-d", f"sql:{folder}", "-f", str(pin))
    subprocess.run(["certutil", "-N", *place], check=True, capture_output=True, timeout=60)
    make = ["symkeyutil", "-K", "-n", "one", "-t", "aes", "-s", "32", *place]
    subprocess.run(make, check=True, capture_output=True, timeout=60)
    return folder


@pytest.mark.parametrize("mechanism", ["auto", "CKM_AES_KEY_WRAP_KWP"])
def test_a_key_of_a_database_of_nss_wraps_and_is_described(database: Path, mechanism: str) -> None:
    command = [sys.executable, "-c", _USE_KEY, str(LIBRARY), str(database), mechanism]

    ran = subprocess.run(command, cwd=HERE, capture_output=True, text=True, timeout=60)

    wanted = "CKM_AES_GCM" if mechanism == "auto" else mechanism
    assert (ran.stdout.strip(), ran.stderr) == (f"{wanted} AES-256 enabled", "")
