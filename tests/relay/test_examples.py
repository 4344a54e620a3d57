"""The examples for the relay: units, Compose and sidecar, run as far as this machine can."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from ksm_storage_local_vault.testing import LocalVault, SampleContent

from ksm_storage.relay.grant import Grant
from tests.cli.command import COMMAND
from tests.relay.relay import Relay
from tests.relay.test_access import connect
from tests.relay.test_lifecycle import titles

EXAMPLES = Path(__file__).parents[2] / "examples/relay"
PROGRAMS = Path(sys.executable).parent


@contextmanager
def started(command: list[str], **options: Any) -> Iterator[subprocess.Popen[str]]:
    """Run a relay until the end of the block; it has announced its address."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **options) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("https://")
        yield process
        process.terminate()
        assert process.wait(10) == 0


@pytest.mark.skipif(os.name != "posix", reason="systemd passes descriptors")
def test_the_relay_takes_the_socket_of_systemd(
    vault: LocalVault, sealed: Path, content: SampleContent, tmp_path: Path
) -> None:
    folder = tmp_path / "relay"
    serve = [COMMAND, "relay", "serve", str(sealed), "--state", str(folder)]
    with socket.create_server(("127.0.0.1", 0)) as passed:
        number = passed.fileno()
        activated = ["bash", "-c", f'LISTEN_PID=$$ LISTEN_FDS=1 exec "$@" 3<&{number}', "sh"]
        command = [*activated, *serve, "--ca-file", vault.ca_file]
        with started(command, pass_fds=[number]):
            relay = Relay(sealed, folder, vault)
            assert relay.address == f"127.0.0.1:{passed.getsockname()[1]}"
            assert titles(connect(relay, relay.add("web", Grant(records=("alone",))))) == ["alone"]

        listen = [*activated, *serve, "--listen", "127.0.0.1:9"]
        both = subprocess.run(listen, pass_fds=[number], capture_output=True, text=True)

    assert both.returncode == 2
    assert "--listen cannot be combined with a socket of systemd" in both.stderr


def test_a_descriptor_that_does_not_listen_is_refused(sealed: Path, tmp_path: Path) -> None:
    with (tmp_path / "file").open("w") as file:
        activated = f'LISTEN_PID=$$ LISTEN_FDS=1 exec "$@" 3<&{file.fileno()}'
        serve = [COMMAND, "relay", "serve", str(sealed), "--state", str(tmp_path / "s")]
        done = subprocess.run(
            ["bash", "-c", activated, "sh", *serve],
            pass_fds=[file.fileno()],
            capture_output=True,
            text=True,
        )

    assert done.returncode == 2
    assert "descriptor 3" in done.stderr


def test_systemd_accepts_the_units_and_finds_them_closed(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd is not installed")
    service = (EXAMPLES / "ksm-relay.service").read_text()
    # Only the program differs: it is not installed at that place here.
    (tmp_path / "ksm-relay.service").write_text(service.replace("/usr/bin/ksm-storage", COMMAND))
    shutil.copy(EXAMPLES / "ksm-relay.socket", tmp_path)
    units = [str(tmp_path / name) for name in ("ksm-relay.socket", "ksm-relay.service")]

    done = subprocess.run([analyze, "verify", "--man=no", *units], capture_output=True, text=True)
    rated = subprocess.run(
        [analyze, "security", "--offline=yes", "--threshold=20", units[1]], capture_output=True
    )

    assert "ksm-relay" not in done.stderr, done.stderr
    # 2.0 of 10, where 10 is an unconfined service.
    assert rated.returncode == 0, rated.stdout


def test_the_unit_serves_with_the_credential_and_its_state(
    vault: LocalVault, sealed: Path, content: SampleContent, tmp_path: Path
) -> None:
    unit = (EXAMPLES / "ksm-relay.service").read_text()
    (command,) = re.findall(r"^ExecStart=(.*)$", unit, re.MULTILINE)
    placed = command.replace("/usr/bin/ksm-storage", COMMAND).replace("%S", str(tmp_path))
    placed = placed.replace("%d", str(sealed.parent))

    with started([*placed.split(), "--ca-file", vault.ca_file]):
        relay = Relay(sealed, tmp_path / "ksm-relay", vault)
        assert titles(connect(relay, relay.add("unit", Grant(records=("alone",))))) == ["alone"]

    assert "LoadCredential=client-config.json:" in unit
    assert "StateDirectory=ksm-relay" in unit


def compose() -> dict[str, list[str]]:
    """Return the commands of the Compose file by service; ``$$`` stands for ``$`` there."""
    services = yaml.safe_load((EXAMPLES / "compose.yaml").read_text())["services"]
    assert services["app"]["network_mode"] == "service:relay"
    assert not {"/etc/ksm:/sealed:ro", "relay:/relay"} & set(services["app"]["volumes"])
    return {
        name: [*service["entrypoint"], *(part.replace("$$", "$") for part in service["command"])]
        for name, service in services.items()
    }


def sidecar() -> dict[str, list[str]]:
    """Return the commands of the pod by container."""
    secret, pod = yaml.safe_load_all((EXAMPLES / "sidecar.yaml").read_text())
    spec = pod["spec"]
    (app,) = spec["containers"]
    assert [mount["name"] for mount in app["volumeMounts"]] == ["client"]
    assert spec["volumes"][0]["secret"]["secretName"] == secret["metadata"]["name"]
    assert spec["initContainers"][1]["restartPolicy"] == "Always"
    return {
        each["name"]: [*each["command"], *each["args"]] for each in [*spec["initContainers"], app]
    }


@pytest.mark.skipif(os.name != "posix", reason="the containers have a POSIX shell")
@pytest.mark.parametrize("commands", [compose(), sidecar()], ids=["compose", "sidecar"])
def test_the_application_beside_the_relay_reads_its_record_and_no_other(
    vault: LocalVault,
    sealed: Path,
    content: SampleContent,
    tmp_path: Path,
    commands: dict[str, list[str]],
) -> None:
    pytest.importorskip("keeper_secrets_manager_core")
    places = {"/sealed/": f"{sealed.parent}/", "/relay/": f"{tmp_path}/relay/"}
    places |= {"/client/": f"{tmp_path}/client/", "/app/": f"{EXAMPLES}/"}
    for name in ("relay", "client"):
        (tmp_path / name).mkdir()

    def placed(name: str) -> list[str]:
        shell, flags, text = commands[name]
        for inside, here in places.items():
            text = text.replace(f" {inside}", f" {here}").replace(f"={inside}", f"={here}")
        return [shell, flags, text]

    path = f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path}
    added = subprocess.run(placed("add-client"), env=environment, capture_output=True, text=True)
    assert added.returncode == 0, added.stderr
    serve = placed("relay")
    serve[2] += f" --ca-file {vault.ca_file}"
    with started(serve, env=environment):
        # Nothing of the relay or the key is in what the application is started with.
        app = subprocess.run(
            placed("app"), env={"PATH": path}, capture_output=True, text=True, cwd=tmp_path
        )

    assert app.stdout == "read alone\n", app.stderr
    assert os.stat(tmp_path / "client/config").st_mode & 0o077 == 0
