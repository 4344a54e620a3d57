"""No secret is taken from, or put into, a command line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import ksm_storage
from ksm_storage.cli.main import main
from tests.cli.command import COMMAND, key_file, run

SECRET_OPTION_PLUGIN = """
from ksm_storage.plugin import Option, hookimpl

@hookimpl
def key_wrapper_options():
    return [Option("pin", "The PIN.", secret=True)]
"""


def test_a_secret_setting_on_the_command_line_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "with_pin.py").write_text(SECRET_OPTION_PLUGIN)
    metadata = tmp_path / "with_pin-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: with-pin\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[ksm_storage.providers]\nwith-pin = with_pin\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    done = run("check", "c.json", "--setting", "with-pin.pin=CANARY")

    assert done.returncode == 2
    assert "CANARY" not in done.stderr + done.stdout
    assert "$KSM_STORAGE_WITH_PIN_PIN" in done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_program_run_by_exec_has_no_secret_in_its_command_line(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    path.write_text(json.dumps({"clientId": "CANARY", "appKey": "APP"}))
    ksm_storage.protect(path, [key_file(tmp_path)])

    done = subprocess.run(
        [COMMAND, "exec", str(path), "--", "cat", "/proc/self/cmdline"],
        capture_output=True,
        timeout=60,
        check=True,
    )

    assert b"CANARY" not in done.stdout
    assert done.stdout == b"cat\0/proc/self/cmdline\0"


def broken_check(error: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run ``check`` with a part of it that raises."""
    script = (
        "import sys, ksm_storage.cli.main as m, ksm_storage.cli.check as c\n"
        f"def boom(*_): raise {error}\n"
        "c._checked = boom\n"
        "sys.exit(m.main(['check', 'x', *sys.argv[1:]]))\n"
    )
    command = [sys.executable, "-c", script, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    ("error", "kind", "code"),
    [("RuntimeError('CANARY')", "InternalError", 1), ("KeyboardInterrupt", "Interrupted", 130)],
)
def test_an_end_that_nobody_planned_is_json_where_json_is_asked_for(
    error: str, kind: str, code: int
) -> None:
    done = broken_check(error, "--json")

    said = json.loads(done.stderr)
    assert (done.returncode, done.stdout) == (code, "")
    assert (said["error"], said["exit_code"]) == (kind, code)
    assert "CANARY" not in done.stderr


def test_an_unforeseen_error_shows_its_class_and_nothing_else() -> None:
    done = broken_check("RuntimeError('CANARY')")

    assert done.returncode == 1
    assert done.stdout == ""
    assert "error: internal error (RuntimeError)" in done.stderr
    assert "CANARY" not in done.stderr


@pytest.mark.parametrize(
    "key",
    [
        "pkcs11:object=k?pin-value=CANARY",
        "PKCS11://k;PIN-VALUE=CANARY",
        "https://user:CANARY@my.vault.azure.net/keys/k",
        "https://CANARY@my.vault.azure.net/keys/k",
        "azure-kv://https://CANARY@my.vault.azure.net/keys/k",
        "azure-kv://user:CANARY@my.vault.azure.net/keys/k",
        "nothing://user:CANARY@host/k",
    ],
)
@pytest.mark.parametrize(
    "command",
    [
        ["protect", "plain.json", "--key", "KEY"],
        ["protect", "plain.json", "--dry-run", "--key", "KEY"],
        ["protect", "plain.json", "--from-key", "KEY", "--key", "key-file:///k"],
        ["protect", "sealed.json", "--key", "KEY"],
        ["check", "sealed.json", "--trust", "KEY"],
        ["rewrap", "sealed.json", "--add-key", "KEY", "--dry-run"],
        ["rewrap", "sealed.json", "--remove-key", "KEY"],
        ["rewrap", "sealed.json", "--replace-key", "KEY=key-file:///k"],
        ["rewrap", "sealed.json", "--replace-key", "key-file:///k=KEY"],
        ["status", "sealed.json", "--would-lose", "KEY"],
        ["doctor", "--examine", "KEY"],
    ],
    ids=" ".join,
)
def test_credentials_in_the_name_of_a_key_are_refused_and_not_shown(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    command: list[str],
    key: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("plain.json", "sealed.json"):
        Path(name).write_text('{"clientId": "CID"}')
    ksm_storage.protect("sealed.json", [key_file(tmp_path)])

    code = main([word.replace("KEY", key) for word in command])

    said = capfd.readouterr()
    assert code == 2
    assert "CANARY" not in said.out + said.err
    kind = "a PIN" if "CANARY@" not in key else "a user name or password"
    assert f"a key URI must not contain {kind}" in said.err
