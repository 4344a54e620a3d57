"""Conformance: networks that fail, proxies, forks and standard input leave a plugin unharmed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping

import pytest

from ..errors import KsmStorageError, UnavailableError
from ..keys.discovery import Plugin
from ..plugin import DEK_BYTES
from .loopback import EchoServer, Relay, SilentServer, TricklingServer
from .subject import AAD, Opener, Subject
from .traces import holders_of

Reach = Callable[[str], Mapping[str, object]] | None

# What a call with a deadline of a second may take on a busy machine.
MAX_SECONDS = 12.0
DEADLINE = 1.0

_PROXY_VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "grpc_proxy")
CANARY = "the program's own input\n"

_ROUND_TRIP = """
import json, os, sys
sys.path[:] = json.loads(sys.argv[1])
from ksm_storage.contract.key_wrapper import KeyUri
from ksm_storage.keys.discovery import find_plugin
from ksm_storage.keys.setting_sources import gather_settings
from ksm_storage.plugin import Aad
provider, key_id = sys.argv[2:4]
plugin = find_plugin(provider)
uri = KeyUri(provider, key_id)
settings = gather_settings(uri, plugin.options(), {provider: json.loads(sys.argv[4])})
wrapper = plugin.open_key_wrapper(key_id, settings)
aad, dek = Aad({"env": "prod"}), os.urandom(32)

def round_trip():
    assert wrapper.unwrap(wrapper.wrap(dek, aad=aad), aad=aad) == dek

round_trip()
"""

# It waits for a byte before the fork and after the child, so that connections can be counted.
_FORKING = """
import signal

def report(text):
    print(text, flush=True)
    os.read(int(sys.argv[5]), 1)

signal.alarm(60)
report("forking")
child = os.fork()
if child == 0:
    signal.alarm(20)
    try:
        round_trip()
        wrapper.close()
    except BaseException as exc:
        os.write(2, repr(exc).encode())
        os._exit(3)
    os._exit(0)
_, status = os.waitpid(child, 0)
report(f"child {status}")
round_trip()
wrapper.close()
print("parent 0")
"""

_READING = """
wrapper.close()
print(json.dumps(sys.stdin.read()))
"""


class NetworkTests(Subject):
    """Put servers of the suite's own where the plugin expects its service."""

    @pytest.mark.parametrize("server", [SilentServer, TricklingServer])
    def test_a_service_that_does_not_answer_is_given_up(
        self,
        server: type[SilentServer],
        plugin: Plugin,
        open_wrapper: Opener,
        key_id: str,
        reach: Reach,
    ) -> None:
        with server() as silent:
            settings = _timed(plugin, _required(reach)(silent.url))
            key_wrapper = open_wrapper(key_id, settings)

            error = _error_of(lambda: key_wrapper.wrap(os.urandom(DEK_BYTES), aad=AAD))

        assert error is not None, "a call ends at its deadline, whatever the service does"
        assert isinstance(error, UnavailableError), "who did not answer may be asked again"

    def test_plain_http_to_this_machine_goes_through_no_proxy(
        self,
        plugin: Plugin,
        open_wrapper: Opener,
        key_id: str,
        reach: Reach,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        with EchoServer() as service, EchoServer() as proxy:
            settings = _timed(plugin, _required(reach)(service.url))
            for name in _PROXY_VARIABLES:
                monkeypatch.setenv(name, proxy.url)
                monkeypatch.setenv(name.upper(), proxy.url)
            for name in ("no_proxy", "NO_PROXY"):
                monkeypatch.delenv(name, raising=False)

            _error_of(lambda: open_wrapper(key_id, settings).wrap(bytes(DEK_BYTES), aad=AAD))

        assert proxy.connections == 0, "a proxy would see the DEK in the clear"
        assert service.connections > 0, "the plugin asks the address that it is given"

    @pytest.mark.parametrize("status", [200, 400, 500])
    def test_a_reply_that_repeats_the_dek_leaves_it_on_no_error(
        self, status: int, plugin: Plugin, open_wrapper: Opener, key_id: str, reach: Reach
    ) -> None:
        dek = os.urandom(DEK_BYTES)
        with EchoServer(status) as service:
            settings = _timed(plugin, _required(reach)(service.url))

            error = _error_of(lambda: open_wrapper(key_id, settings).wrap(dek, aad=AAD))

        assert isinstance(error, KsmStorageError), "an echo is not a key service's reply"
        assert not holders_of(error, dek), "the DEK hangs on the error: raise it by 'translating'"

    def test_a_redirect_is_not_followed(
        self, plugin: Plugin, open_wrapper: Opener, key_id: str, reach: Reach
    ) -> None:
        with EchoServer() as elsewhere, EchoServer(307, location=elsewhere.url) as service:
            settings = _timed(plugin, _required(reach)(service.url))

            _error_of(lambda: open_wrapper(key_id, settings).wrap(bytes(DEK_BYTES), aad=AAD))

        assert elsewhere.connections == 0, "a redirect would take the DEK along"


class ProcessTests(Subject):
    """Use the plugin in a process of its own."""

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="the platform has no fork")
    def test_a_forked_child_uses_no_connection_of_its_parent(
        self,
        key_id: str,
        settings: Mapping[str, object],
        reach: Reach,
        service_url: str | None,
    ) -> None:
        ready, go_on = os.pipe()
        with Relay(service_url or "") as relay, open(ready, "rb"), open(go_on, "wb", 0) as gate:
            given = settings if reach is None or not relay.url else reach(relay.url)
            code = _ROUND_TRIP + _FORKING
            with self._started(code, key_id, given, ready=ready) as process:
                assert process.stdout is not None
                assert process.stdout.readline() == "forking\n", process.communicate()[1]
                before = relay.connections
                gate.write(b".")
                child = process.stdout.readline()
                of_child = relay.connections - before
                gate.write(b".")
                parent, printed = process.communicate(timeout=60)

        assert child + parent == "child 0\nparent 0\n", printed
        assert not before or of_child, "after a fork a child makes a connection of its own"

    def test_standard_input_is_left_to_the_program(
        self, key_id: str, settings: Mapping[str, object]
    ) -> None:
        with self._started(_ROUND_TRIP + _READING, key_id, settings) as process:
            read, printed = process.communicate(CANARY, timeout=90)

        assert process.returncode == 0, printed
        assert json.loads(read) == CANARY, "what is piped in is not the plugin's to read"

    def _started(
        self, code: str, key_id: str, settings: Mapping[str, object], *, ready: int | None = None
    ) -> subprocess.Popen[str]:
        if self.in_process:
            pytest.skip("'in_process' says that another process does not reach the service")
        try:
            given = json.dumps(settings)
        except TypeError:
            pytest.skip("a setting is a function, which another process cannot be given")
        arguments = [json.dumps(sys.path), self.provider, key_id, given, str(ready)]
        return subprocess.Popen(  # noqa: S603  # our own interpreter, our own text
            [sys.executable, "-c", code, *arguments],
            stdin=subprocess.PIPE if ready is None else subprocess.DEVNULL,
            pass_fds=() if ready is None else (ready,),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


def _timed(plugin: Plugin, settings: Mapping[str, object]) -> Mapping[str, object]:
    if "deadline" not in {option.name for option in plugin.options()}:
        return settings
    return {**settings, "deadline": DEADLINE}


def _error_of(call: Callable[[], object]) -> BaseException | None:
    """Return what a call raises, or None if it does not end; a call that succeeds is an error."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            call()
        except BaseException as exc:  # noqa: BLE001  # looked at by the test
            raised.append(exc)
        else:
            raised.append(AssertionError("the call succeeded"))

    # A daemon, for a call without a time-out never ends.
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(MAX_SECONDS)
    return raised[0] if raised else None


def _required(reach: Reach) -> Callable[[str], Mapping[str, object]]:
    if reach is None:
        pytest.skip("no option 'endpoint', and no fixture 'reach' says how to ask another address")
    return reach
