"""How commands are called: PATH from the environment, slips of the pen, native key names."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pexpect
import pytest

import ksm_storage
from ksm_storage.cli.rewrap import _pair
from tests.cli.command import COMMAND, key_file, run


@pytest.fixture
def sealed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "c.json"
    path.write_text('{"clientId": "CID", "appKey": "APP", "hostname": "keepersecurity.eu"}')
    ksm_storage.protect(path, [key_file(tmp_path)])
    monkeypatch.chdir(tmp_path)
    return path


@pytest.mark.parametrize(
    ("arguments", "printed"),
    [
        (["check"], "ok c.json revision 1"),
        (["check", "--json"], '"path": "c.json"'),
        (["get", "hostname"], "keepersecurity.eu"),
        (["get", "hostname", "--json"], '"hostname": "keepersecurity.eu"'),
        (["get", "clientId", "--reveal"], "CID"),
        (["inspect"], "file         c.json"),
        (["status", "--offline"], "c.json: revision 1"),
        (["export", "--reveal"], '"clientId": "CID"'),
        (["exec", "--", "echo", "run"], "run"),
        (["exec", "--timeout", "9", "--", "echo", "--", "run"], "-- run"),
        (["doctor"], "c.json\n"),
        (["rekey", "--dry-run", "--json"], '"path": "c.json"'),
    ],
    ids=" ".join,
)
def test_a_path_that_is_left_out_is_the_one_in_the_environment(
    sealed: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], printed: str
) -> None:
    monkeypatch.setenv("KSM_CONFIG_FILE", "c.json")

    done = run(*arguments)

    assert done.returncode == 0, done.stderr
    assert printed in done.stdout


@pytest.mark.parametrize("arguments", [["get", "c.json", "hostname"], ["check", "c.json"]])
def test_a_path_that_is_given_wins_over_the_environment(
    sealed: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.setenv("KSM_CONFIG_FILE", "other.json")

    assert run(*arguments).returncode == 0


@pytest.mark.parametrize(("arguments", "code"), [(["secret", "list"], 7), (["profile", "list"], 7)])
def test_groups_take_it_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int
) -> None:
    monkeypatch.setenv("KSM_CONFIG_FILE", str(tmp_path / "missing.json"))

    done = run(*arguments)

    assert (done.returncode, "missing.json" in done.stderr) == (code, True)


@pytest.mark.parametrize("path", ["-", "/dev/stdin"])
@pytest.mark.parametrize(
    ("arguments", "printed"),
    [
        (["inspect", "PATH"], b"revision     1\n"),
        (["get", "PATH", "hostname"], b"keepersecurity.eu\n"),
        (["export", "PATH", "--reveal"], b'"clientId": "CID"'),
        (["exec", "PATH", "--", "echo", "run"], b"run\n"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_sealed_file_comes_from_standard_input(
    sealed: Path, arguments: list[str], printed: bytes, path: str
) -> None:
    command = [path if word == "PATH" else word for word in arguments]
    done = subprocess.run(
        [COMMAND, *command], input=sealed.read_bytes(), capture_output=True, timeout=60, check=False
    )

    assert done.returncode == 0, done.stderr
    assert printed in done.stdout


@pytest.mark.parametrize(
    ("piped", "code"), [(b"", 7), (b'{"clientId": "CANARY"}', 6), (b"x" * 9_000_000, 7)]
)
def test_what_is_not_a_sealed_file_on_standard_input_is_refused(piped: bytes, code: int) -> None:
    done = subprocess.run(
        [COMMAND, "get", "-", "hostname"], input=piped, capture_output=True, timeout=60, check=False
    )

    assert (done.returncode, done.stdout, b"CANARY" in done.stderr) == (code, b"", False)


def test_what_came_from_standard_input_cannot_be_changed(sealed: Path) -> None:
    (sealed.parent / "value").write_text("x")
    done = subprocess.run(
        [COMMAND, "set", "-", "appKey", "--value-file", "value"],
        input=sealed.read_bytes(),
        capture_output=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 7
    assert b"read-only" in done.stderr


def test_a_missing_path_is_an_error_that_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KSM_CONFIG_FILE", raising=False)

    assert "missing argument 'NAME'" in run("get", "hostname").stderr
    assert "missing argument 'PATHS...'" in run("check").stderr


@pytest.mark.parametrize(
    ("arguments", "suggested"),
    [
        (["protct"], "did you mean 'ksm-storage protect'?"),
        (["secret", "lst"], "did you mean 'ksm-storage secret list'?"),
        (["recovery", "creat"], "did you mean 'ksm-storage recovery create'?"),
        (["frobnicate"], "see 'ksm-storage --help'"),
    ],
)
def test_a_mistyped_command_gets_a_suggestion(arguments: list[str], suggested: str) -> None:
    done = run(*arguments)

    assert (done.returncode, done.stdout) == (2, "")
    assert f"hint: {suggested}\n" in done.stderr


@pytest.mark.parametrize("secret", ["US:" + "A" * 43, "S3cret", "a" * 60])
def test_what_may_be_a_secret_in_the_place_of_a_command_is_not_shown(secret: str) -> None:
    assert run(secret).stderr == (
        "error: no such command (not shown: it may be a secret)\nhint: see 'ksm-storage --help'\n"
    )


def test_a_surplus_argument_is_not_shown(sealed: Path) -> None:
    done = run("set", "c.json", "privateKey", "CANARY")

    assert done.returncode == 2
    assert "too many arguments" in done.stderr
    assert "CANARY" not in done.stderr + done.stdout


def test_a_mistyped_name_of_a_value_gets_a_suggestion(sealed: Path) -> None:
    done = run("get", "c.json", "hostnam")

    assert (done.returncode, done.stdout) == (7, "")
    assert done.stderr == (
        "error: 'c.json' has no value 'hostnam'\nhint: did you mean 'hostname'?\n"
    )


def test_a_mistyped_name_that_is_there_stays_secret(sealed: Path) -> None:
    ksm_storage.open_storage(sealed).set("hostnam", "CANARY")

    done = run("get", "c.json", "hostnam")

    assert (done.returncode, done.stdout) == (2, "")


def test_a_list_of_choices_is_one_line() -> None:
    message = run("completion").stderr.splitlines()[0]

    assert message.startswith("error: missing argument")
    assert "\\n" not in message


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="becomes another user")
@pytest.mark.parametrize("command", ["check", "inspect", "rekey"])
def test_a_file_of_another_user_cannot_be_read(tmp_path: Path, command: str) -> None:
    # Within a folder that anyone may enter, as pytest's own is not.
    path = Path("/tmp") / f"{tmp_path.name}-{os.getpid()}.json"
    path.write_text("{}")
    path.chmod(0o600)
    script = (
        "import os, sys\n"
        "from ksm_storage.cli.main import main\n"
        # Once as root, which imports all that the other user may not even read.
        f"main([{command!r}, {str(path)!r}]); os.setuid(65534)\n"
        f"sys.exit(main([{command!r}, {str(path)!r}]))"
    )
    try:
        done = pexpect.run(f'{sys.executable} -c "{script}"', withexitstatus=True, timeout=30)
    finally:
        path.unlink()

    assert done[1] == 7, done[0]
    assert b"Permission denied" in b" ".join(done[0].split())


NATIVE = [
    "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab",
    "projects/p/locations/l/keyRings/r/cryptoKeys/k",
    "https://demo.vault.azure.net/keys/k",
    "pkcs11:token=t;object=k",
    "key-file:///etc/k=2.key",
]


@pytest.mark.parametrize("new", NATIVE)
@pytest.mark.parametrize("old", ["key-file:///k", "pkcs11:token=t;object=old", NATIVE[0]])
def test_a_key_is_replaced_by_one_with_a_native_name(old: str, new: str) -> None:
    assert _pair(f"{old}={new}") == (old, new)


WITHOUT_RICH = """
import sys
sys.modules["rich"] = None
from ksm_storage.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    "arguments", [["providers"], ["check", *["c.json"] * 30]], ids=["table", "many files"]
)
def test_a_terminal_is_served_plainly_without_rich(sealed: Path, arguments: list[str]) -> None:
    child = pexpect.spawn(
        sys.executable, ["-c", WITHOUT_RICH, *arguments], encoding="utf-8", timeout=30
    )
    child.expect(pexpect.EOF)
    child.close()

    shown = child.before or ""
    assert child.exitstatus == 0, shown
    assert "key-file" in shown
    assert "┃" not in shown
    assert "Traceback" not in shown


def test_a_sealed_file_keeps_the_keys_that_a_rekey_does_not_name(sealed: Path) -> None:
    created = run("recovery", "create", "office", "--reveal", "--json")
    made = json.loads(created.stdout)
    run("rewrap", "c.json", "--add-key", made["key"])
    other = run("keygen", "other.key").stdout.strip()

    done = run("rekey", "c.json", "--new-key", other, "--json")

    assert done.returncode == 0, done.stderr
    (content,) = json.loads(done.stdout)
    assert sorted(content["keys"]) == sorted([key_file(sealed.parent), made["recipient"], other])
    assert content["removed"] == []
