"""The commands of the relay, as an operator types them."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from ksm_storage_local_vault.testing import LocalVault, SampleContent

from ksm_storage.cli.main import main
from ksm_storage.engine import InMemoryKeyValueStorage, SecretsManager
from tests.cli.command import COMMAND, run


def test_an_operator_serves_adds_lists_and_revokes(
    vault: LocalVault, sealed: Path, content: SampleContent, tmp_path: Path
) -> None:
    state = ["--state", str(tmp_path / "state")]
    added = run("relay", "client", "add", str(sealed), "web", "--record", "al*", *state)
    assert added.returncode == 0, added.stderr
    command = [COMMAND, "relay", "serve", str(sealed), *state, "--ca-file", vault.ca_file, "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as relay:
        assert relay.stdout is not None
        listening = json.loads("".join(iter(relay.stdout.readline, "}\n")) + "}")
        configuration = json.loads(base64.b64decode(added.stdout))
        manager = SecretsManager(
            config=InMemoryKeyValueStorage(json.dumps(configuration)), ca_file=listening["ca_file"]
        )

        (record,) = manager.get_secrets()

        assert (record.title, configuration["hostname"]) == ("alone", listening["address"])
        status = json.loads(run("relay", "status", str(sealed), *state, "--json").stdout)
        assert (status["running"], status["active_clients"], status["records"]) == (True, 1, 3)
        shown = run("relay", "status", str(sealed), *state).stdout
        assert re.search(r"^running: +yes$", shown, re.MULTILINE)
        assert re.search(r"^answer age seconds: +[0-9]+$", shown, re.MULTILINE)
        revoked = run("relay", "client", "revoke", str(sealed), "web", *state)
        assert revoked.stderr == "revoked web\n"
        with pytest.raises(Exception, match="revoked"):
            manager.get_secrets()
        relay.terminate()
        assert relay.wait(10) == 0

    (listed,) = json.loads(run("relay", "client", "list", str(sealed), *state, "--json").stdout)
    assert (listed["name"], listed["state"], listed["records"]) == ("web", "revoked", ["al*"])
    assert listed["last_used"] is not None
    assert not json.loads(run("relay", "status", str(sealed), *state, "--json").stdout)["running"]


@pytest.mark.parametrize("command", [("serve",), ("status",), ("client", "list")])
def test_without_the_web_server_the_hint_installs_nothing_by_an_unclaimed_name(
    command: tuple[str, ...],
    sealed: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, "ksm_storage.relay.server", None)

    assert main(["relay", *command, str(sealed)]) == 2
    assert capfd.readouterr().err == (
        "error: the relay's web server is not installed\n"
        "hint: in a clone of ksm-storage run: pip install '.[relay]'; "
        "the names are on no index yet\n"
    )


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("client", "add", "PATH", "web"), 2, "at least one --record or --folder"),
        (("client", "add", "PATH", "web", "--all", "--expires", "soon"), 2, "not a valid duration"),
        (("client", "add", "PATH", "web", "--all", "--record", "x"), 2, "--all cannot be combined"),
        (("client", "add", "PATH", "web", "--record", ""), 2, "a uid or a title"),
        (("client", "add", "PATH", "web", "--folder", "Shared"), 2, "not the uid of a folder"),
        (("client", "add", "PATH", "", "--all"), 2, "1 to 100 printable characters"),
        (("client", "add", "PATH", "a\nb", "--all"), 2, "1 to 100 printable characters"),
        (("client", "add", "PATH", "x" * 101, "--all"), 2, "1 to 100 printable characters"),
        (("client", "revoke", "PATH", "nobody"), 2, "client 'nobody' not found"),
        (("serve", "PATH", "--listen", "127.0.0.9:9"), 2, "not valid for '127.0.0.9'"),
        (("serve", "PATH", "--listen", "nowhere"), 2, "must be HOST:PORT"),
    ],
)
def test_a_mistake_is_said_and_prints_no_data(
    sealed: Path, tmp_path: Path, arguments: tuple[str, ...], code: int, said: str
) -> None:
    state = ["--state", str(tmp_path / "state")]
    run("relay", "client", "add", str(sealed), "first", "--all", *state)

    given = [str(sealed) if word == "PATH" else word for word in arguments]
    done = run("relay", *given, *state)

    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr


def test_a_new_relay_does_not_listen_where_others_reach_it(sealed: Path, tmp_path: Path) -> None:
    listen = ["--listen", "0.0.0.0:65001", "--state", str(tmp_path / "state")]

    nameless = run("relay", "serve", str(sealed), *listen, "--expose")
    done = run("relay", "serve", str(sealed), *listen, "--name", "relay.internal")

    assert nameless.returncode == done.returncode == 2
    assert "clients cannot connect to '0.0.0.0'" in nameless.stderr
    assert "can be reached from other machines" in done.stderr
    assert "add --expose" in done.stderr


def test_a_name_is_used_once_at_a_time(sealed: Path, tmp_path: Path) -> None:
    add = ["relay", "client", "add", str(sealed), "web", "--all", "--state", str(tmp_path / "s")]
    assert run(*add).returncode == 0

    assert "client 'web' already exists" in run(*add).stderr
    run("relay", "client", "revoke", str(sealed), "web", "--state", str(tmp_path / "s"))
    assert run(*add).returncode == 0
