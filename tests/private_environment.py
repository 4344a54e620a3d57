"""The environment in which tests run: an empty home and nothing that names the developer's."""

from __future__ import annotations

import os
from pathlib import Path

# What is not named here is not passed on: no list of things to remove could be complete.
KEPT = frozenset(
    {
        *("PATH", "TMPDIR", "TEMP", "TMP", "TERM", "TZ", "LANG", "LC_ALL", "LC_CTYPE", "CI"),
        *("SYSTEMROOT", "SYSTEMDRIVE", "WINDIR", "COMSPEC", "PATHEXT", "LD_LIBRARY_PATH"),
        *("PYTHONHASHSEED", "PYTHONDONTWRITEBYTECODE", "PYTHONWARNINGS"),
    }
)
KEPT_PREFIXES = ("PYTEST_", "COV_")


def private_environment(home: Path) -> dict[str, str]:
    """Return the variables for a process whose home is the given folder, which is made."""
    runtime = home / "run"
    runtime.mkdir(mode=0o700, parents=True, exist_ok=True)
    kept = {
        name: value
        for name, value in os.environ.items()
        if name.upper() in KEPT or name.startswith(KEPT_PREFIXES)
    }
    return kept | {
        "HOME": str(home),
        "USERPROFILE": str(home),
        "APPDATA": str(home / "appdata"),
        "LOCALAPPDATA": str(home / "localappdata"),
        "XDG_CONFIG_HOME": str(home / ".config"),
        "XDG_DATA_HOME": str(home / ".local/share"),
        "XDG_STATE_HOME": str(home / ".local/state"),
        "XDG_CACHE_HOME": str(home / ".cache"),
        "XDG_RUNTIME_DIR": str(runtime),
        "DBUS_SESSION_BUS_ADDRESS": f"unix:path={runtime}/no-bus",
        "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring",
        # On macOS and Windows, where HOME does not move the native store, this names one that is
        # not there.
        "KSM_STORAGE_OS_KEYRING_BACKEND": "secret-service",
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_COLOR": "1",
        "NO_PROXY": "localhost,127.0.0.1,::1",
    }
