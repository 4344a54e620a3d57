"""Run one task with one storage in a separate process, and print how long each run took.

``storage_worker.py TASK COUNT PATH MODULE CODE``: the code makes ``storage`` of the file ``path``;
importing the module beforehand keeps imports out of what is measured. One number is printed, in
seconds for one time.
"""

from __future__ import annotations

import importlib
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

from keeper_secrets_manager_core import SecretsManager
from keeper_secrets_manager_core.configkeys import ConfigKeys

from tests.interop.keeper_server import KeeperServer

BATCHES = 5

Opened = Callable[..., Any]


def main() -> None:
    """Do the task and print."""
    task, count, path, modules, code = sys.argv[1:6]
    for module in filter(None, modules.split(",")):
        importlib.import_module(module)

    def opened(suffix: str = "") -> Any:
        names: dict[str, Any] = {"path": path + suffix}
        exec(code, names)  # the code is a constant of the benchmarks
        return names["storage"]

    print(TASKS[task](opened, int(count)))


def get(opened: Opened, count: int) -> float:
    """Read one value many times."""
    storage = opened()
    return statistics.median(
        _timed(lambda: storage.get(ConfigKeys.KEY_HOSTNAME), count) for _ in range(BATCHES)
    )


def set_value(opened: Opened, count: int) -> float:
    """Set one value to a different text each time, so that no save is skipped as unchanged."""
    storage = opened()
    numbers = iter(range(count + 1))
    storage.set(ConfigKeys.KEY_HOSTNAME, f"host{next(numbers)}")
    return _timed(lambda: storage.set(ConfigKeys.KEY_HOSTNAME, f"host{next(numbers)}"), count)


def reopen(opened: Opened, count: int) -> float:
    """Open the existing file and read a value."""
    return _timed(lambda: opened().get(ConfigKeys.KEY_HOSTNAME), count)


def bind(opened: Opened, count: int) -> float:
    """Bind with a one-time token and read the first secrets."""
    return _timed(lambda: _bound(opened()), count)


def bind_again(opened: Opened, count: int) -> float:
    """Bind in a process that has bound another file, so that late imports are done."""
    _bound(opened(".first"))
    return bind(opened, count)


def _bound(storage: Any) -> None:
    keeper = KeeperServer()
    client = SecretsManager(
        token=keeper.token,
        config=storage,
        custom_post_function=keeper.post,
        server_public_key=keeper.public_key,
        server_public_key_id=keeper.key_id,
    )
    assert client.get_secrets()


def _timed(work: Callable[[], object], count: int) -> float:
    start = time.perf_counter()
    for _ in range(count):
        work()
    return (time.perf_counter() - start) / max(count, 1)


TASKS = {"get": get, "set": set_value, "reopen": reopen, "bind": bind, "bind again": bind_again}

if __name__ == "__main__":
    main()
