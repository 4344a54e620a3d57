"""The control endpoint below `/_emulator/`, for emulators started from the shell."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from ksm_storage_emulators.connection import CONTROL_PREFIX
from ksm_storage_emulators.faults import fault_from_json
from ksm_storage_emulators.message import Reply, Request, json_reply
from ksm_storage_emulators.service import Bench, Controlled, Service


class Control:
    """Answer control requests. They are neither counted nor slowed by faults."""

    def __init__(self, service: Service, bench: Bench) -> None:
        """Bind to one emulator."""
        self._service = service
        self._bench = bench
        self._actions: Mapping[tuple[str, str], Callable[[Mapping[str, Any]], object]] = {
            ("GET", "health"): lambda _: {"service": service.name, "status": "ok"},
            ("GET", "faults"): lambda _: [f.to_json() for f in bench.faults.in_force()],
            ("POST", "faults"): lambda body: bench.faults.put(fault_from_json(body)),
            ("DELETE", "faults"): lambda _: bench.faults.clear(),
            ("GET", "quotas"): lambda _: {k or "*": n for k, n in bench.quotas.limits().items()},
            ("POST", "quotas"): self._limit,
            ("DELETE", "quotas"): lambda _: bench.quotas.clear(),
            ("GET", "calls"): lambda _: bench.transcript.calls(),
            ("GET", "transcript"): lambda _: self._transcript(),
            ("DELETE", "transcript"): lambda _: bench.transcript.reset(),
            ("GET", "clock"): lambda _: {"now": bench.clock.now()},
            ("POST", "clock"): self._move_clock,
            ("DELETE", "clock"): lambda _: bench.clock.reset(),
            ("POST", "reset"): lambda _: bench.reset(),
        }

    def __call__(self, request: Request) -> Reply:
        """Do what the request says: 204 or JSON, 400 for nonsense, 404 for the unknown."""
        if "origin" in request.headers:
            # A web page in a browser on this machine must not steer the emulator.
            return json_reply(403, {"error": "requests from web pages are refused"})
        try:
            return self._dispatch(request)
        except (ValueError, TypeError, KeyError) as exc:
            return json_reply(400, {"error": str(exc)})

    def _dispatch(self, request: Request) -> Reply:
        name = request.path.removeprefix(CONTROL_PREFIX)
        if name.startswith("service/") and isinstance(self._service, Controlled):
            reply = self._service.control(request)
            return reply or json_reply(404, {"error": "unknown control request"})
        action = self._actions.get((request.method, name))
        if action is None:
            return json_reply(404, {"error": "unknown control request"})
        result = action(json_object(request.body))
        return Reply(204) if result is None else json_reply(200, result)

    def _limit(self, body: Mapping[str, Any]) -> None:
        self._bench.quotas.limit(int(body["per_second"]), operation=body.get("operation"))

    def _move_clock(self, body: Mapping[str, Any]) -> None:
        if "skew_seconds" in body:
            self._bench.clock.set_skew(float(body["skew_seconds"]))
        self._bench.clock.advance(float(body.get("advance_seconds", 0)))

    def _transcript(self) -> list[dict[str, object]]:
        # No headers and bodies: they carry credentials and keys, and this is printed in CI logs.
        return [
            {"operation": e.operation, "method": e.method, "target": e.target, "status": e.status}
            for e in self._bench.transcript.exchanges()
        ]


def json_object(body: bytes) -> Mapping[str, Any]:
    """Read a JSON object; an empty body is an empty object.

    Raises:
        ValueError: Not JSON, or no object.
    """
    value = json.loads(body or b"{}")
    if not isinstance(value, dict):
        raise ValueError("a JSON object is expected")
    return value
