"""The framework around every service, held with a service that only echoes."""

import http.client
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from ksm_storage_emulators.certificates import PrivateAuthority
from ksm_storage_emulators.clock import MovableClock
from ksm_storage_emulators.emulator import Emulator
from ksm_storage_emulators.faults import FaultKind
from ksm_storage_emulators.message import Reply, Request
from ksm_storage_emulators.pytest_plugin import EmulatorStarter
from ksm_storage_emulators.service import Address, Call


class EchoService:
    """Answer with the body of the request."""

    name = "echo"
    hostnames: Sequence[str] = ("*.echo.example",)

    def __init__(self) -> None:
        self.clock = MovableClock()

    def operation(self, request: Request) -> str:
        return request.path.strip("/") or "unknown"

    def respond(self, call: Call) -> Reply:
        if call.operation == "bug":
            raise AssertionError("a bug")
        damaged = call.suffers(FaultKind.WRONG_CHECKSUM)
        return Reply(200, b"damaged" if damaged else call.request.body)

    def throttled(self, call: Call, *, retry_after_seconds: float | None) -> Reply:
        advice = {} if retry_after_seconds is None else {"Retry-After": str(retry_after_seconds)}
        return Reply(429, b"slow", advice)

    def failed(self, call: Call, *, status: int, retry_after_seconds: float | None) -> Reply:
        return Reply(status, b"failed")

    def environment(self, address: Address) -> Mapping[str, str]:
        return {"ECHO_URL": address.url}


EchoEmulator = Emulator[EchoService]


@pytest.fixture
def echo(start_emulator: EmulatorStarter) -> EchoEmulator:
    return start_emulator(EchoService())


def call(emulator: EchoEmulator, path: str = "/say", body: bytes = b"hello") -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", emulator.address.port, timeout=3)
    try:
        connection.request("POST", path, body)
        reply = connection.getresponse()
        return reply.status, reply.read()
    finally:
        connection.close()


def control(
    emulator: EchoEmulator, method: str, name: str, body: Mapping[str, Any] | None = None
) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", emulator.address.port, timeout=3)
    connection.request(method, f"/_emulator/{name}", json.dumps(body or {}))
    reply = connection.getresponse()
    raw = reply.read()
    connection.close()
    return reply.status, json.loads(raw) if raw else None


def test_requests_and_replies_are_kept_and_counted(echo: EchoEmulator) -> None:
    call(echo)
    call(echo, "/sing", b"la")

    assert echo.transcript.calls() == {"say": 1, "sing": 1}
    exchange = echo.transcript.exchanges()[1]
    assert (exchange.method, exchange.target, exchange.body) == ("POST", "/sing", b"la")
    assert (exchange.status, exchange.headers["content-length"]) == (200, "2")
    echo.transcript.reset()
    assert echo.transcript.count("say") == 0


def test_one_connection_carries_many_calls_without_delay(echo: EchoEmulator) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", echo.address.port, timeout=3)
    start = time.monotonic()

    for _ in range(50):
        connection.request("POST", "/say", b"x")
        assert connection.getresponse().read() == b"x"

    # With Nagle's algorithm each call costs 40 ms, 2 s in all.
    assert time.monotonic() - start < 1
    connection.close()


def test_only_the_loopback_interface_listens(echo: EchoEmulator) -> None:
    assert echo.address.host == "127.0.0.1"
    with socket.socket() as other:
        other.settimeout(1)
        # Another loopback address reaches servers that are bound to all interfaces.
        assert other.connect_ex(("127.0.0.2", echo.address.port)) != 0


@pytest.mark.parametrize("hostname", ["localhost", "127.0.0.1", "my-vault.echo.example"])
def test_https_is_trusted_with_the_private_authority_only(
    start_emulator: EmulatorStarter,
    emulator_authority: PrivateAuthority,
    tmp_path: Path,
    hostname: str,
) -> None:
    ca_file = tmp_path / "ca.pem"
    emulator = start_emulator(EchoService(), authority=emulator_authority, ca_file=ca_file)

    trusting = ssl.create_default_context(cafile=str(ca_file))
    with (
        socket.create_connection(("127.0.0.1", emulator.address.port), 3) as plain,
        trusting.wrap_socket(plain, server_hostname=hostname) as secure,
    ):
        secure.sendall(b"POST /say HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi")
        assert secure.recv(12) == b"HTTP/1.1 200"
    with (
        socket.create_connection(("127.0.0.1", emulator.address.port), 3) as plain,
        pytest.raises(ssl.SSLCertVerificationError),
    ):
        ssl.create_default_context().wrap_socket(plain, server_hostname=hostname)


def test_latency_delays_one_operation(echo: EchoEmulator) -> None:
    echo.faults.add(FaultKind.LATENCY, operation="say", times=1, seconds=0.2)

    start = time.monotonic()
    call(echo, "/sing")
    other = time.monotonic() - start
    call(echo, "/say")

    assert other < 0.2 <= time.monotonic() - start


def test_throttling_ends_after_its_number_of_times(echo: EchoEmulator) -> None:
    echo.faults.add(FaultKind.THROTTLE, times=2, retry_after_seconds=1)

    assert [call(echo)[0] for _ in range(3)] == [429, 429, 200]


def test_a_fault_without_number_lasts_until_cleared(echo: EchoEmulator) -> None:
    echo.faults.add(FaultKind.ERROR, status=503)

    assert [call(echo)[0] for _ in range(3)] == [503, 503, 503]
    echo.faults.clear()
    assert call(echo)[0] == 200


def test_a_dropped_connection_is_a_reset_without_reply(echo: EchoEmulator) -> None:
    echo.faults.add(FaultKind.DROP, times=1)

    with pytest.raises(ConnectionError):
        call(echo)
    assert echo.transcript.exchanges()[0].status is None
    assert call(echo)[0] == 200


def test_a_truncated_body_is_shorter_than_announced(echo: EchoEmulator) -> None:
    echo.faults.add(FaultKind.TRUNCATE, times=1)

    with pytest.raises(http.client.IncompleteRead):
        call(echo)


def test_a_hang_ends_when_the_emulator_stops() -> None:
    emulator = Emulator(EchoService())
    emulator.start()
    emulator.faults.add(FaultKind.HANG)
    client = socket.create_connection(("127.0.0.1", emulator.address.port), 5)
    client.sendall(b"POST /say HTTP/1.1\r\nContent-Length: 0\r\n\r\n")
    client.settimeout(0.2)
    with pytest.raises(TimeoutError):
        client.recv(1)

    emulator.stop()

    client.settimeout(3)
    try:
        assert client.recv(1) == b""
    except ConnectionResetError:
        pass
    finally:
        client.close()


def test_a_service_fault_is_used_up_where_it_is_applied(echo: EchoEmulator) -> None:
    echo.faults.add(FaultKind.WRONG_CHECKSUM, operation="say", times=1)

    assert [call(echo)[1] for _ in range(2)] == [b"damaged", b"hello"]


@pytest.mark.parametrize(
    "add",
    [
        lambda faults: faults.add(FaultKind.THROTTLE, times=0),
        lambda faults: faults.add(FaultKind.LATENCY),
        lambda faults: faults.add(FaultKind.ERROR, status=404),
    ],
)
def test_a_fault_without_effect_is_refused(echo: EchoEmulator, add: Callable[[Any], None]) -> None:
    with pytest.raises(ValueError, match=r"must be|needs"):
        add(echo.faults)


def test_a_quota_throttles_until_the_clock_moves_on(echo: EchoEmulator) -> None:
    echo.clock.freeze()
    echo.quotas.limit(2, operation="say")

    assert [call(echo)[0] for _ in range(3)] == [200, 200, 429]
    assert call(echo, "/sing")[0] == 200
    echo.clock.advance(1)
    assert call(echo)[0] == 200


def test_a_bug_in_a_service_is_a_bare_500(echo: EchoEmulator) -> None:
    assert call(echo, "/bug") == (500, b"emulator bug")


def test_faults_are_set_and_cleared_over_the_control_endpoint(echo: EchoEmulator) -> None:
    fault = {"kind": "throttle", "operation": "say", "times": 5, "retry_after_seconds": 1}

    assert control(echo, "POST", "faults", fault) == (204, None)
    assert call(echo)[0] == 429
    (listed,) = control(echo, "GET", "faults")[1]
    assert (listed["kind"], listed["times"]) == ("throttle", 4)
    assert control(echo, "DELETE", "faults")[0] == 204
    assert call(echo)[0] == 200
    assert control(echo, "GET", "calls") == (200, {"say": 2})


def test_the_printed_transcript_holds_no_bodies(echo: EchoEmulator) -> None:
    call(echo, "/say", b"secret")

    assert "secret" not in json.dumps(control(echo, "GET", "transcript")[1])


def test_quota_clock_and_reset_over_the_control_endpoint(echo: EchoEmulator) -> None:
    before = control(echo, "GET", "clock")[1]["now"]
    control(echo, "POST", "clock", {"advance_seconds": 3600})
    control(echo, "POST", "quotas", {"per_second": 0})

    assert control(echo, "GET", "clock")[1]["now"] - before > 3599
    assert control(echo, "GET", "quotas")[1] == {"*": 0}
    assert call(echo)[0] == 429
    assert control(echo, "POST", "reset")[0] == 204
    assert call(echo)[0] == 200


@pytest.mark.parametrize("body", [{"kind": "gremlin"}, {}, {"kind": "drop", "color": 1}])
def test_nonsense_on_the_control_endpoint_is_a_400(
    echo: EchoEmulator, body: Mapping[str, Any]
) -> None:
    assert control(echo, "POST", "faults", body)[0] == 400


def test_a_web_page_cannot_steer_the_emulator(echo: EchoEmulator) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", echo.address.port, timeout=3)
    connection.request("POST", "/_emulator/reset", headers={"Origin": "https://example.com"})

    assert connection.getresponse().status == 403
    connection.close()


def test_many_threads_lose_no_count(echo: EchoEmulator) -> None:
    threads = [threading.Thread(target=call, args=(echo,)) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert echo.transcript.count("say") == 20
