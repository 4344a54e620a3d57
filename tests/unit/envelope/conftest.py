"""Key services for the tests of opening and sealing."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import cast

import pytest

from ksm_storage.keys.discovery import GROUP
from tests.unit.envelope.key_service import KeyService, ServicePlugin


@pytest.fixture
def key_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> KeyService:
    """Return a key service whose KEKs the providers ``cloud`` and ``hsm`` open.

    They are found as any plugin is: through the entry points of a distribution on the path.
    """
    service = KeyService()
    metadata = tmp_path / "counting_service-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: counting-service\n")
    (metadata / "entry_points.txt").write_text(
        f"[{GROUP}]\ncloud = counting_service_plugin\nhsm = counting_service_plugin\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    # pluggy takes an object with hooks as well as a module.
    plugin = cast("ModuleType", ServicePlugin(service))
    monkeypatch.setitem(sys.modules, "counting_service_plugin", plugin)
    return service
