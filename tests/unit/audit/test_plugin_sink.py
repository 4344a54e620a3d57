"""A sink that a distribution offers is told, if the user named it, and only then."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SINK = """
from ksm_storage.plugin import hookimpl

@hookimpl
def audit_event(event):
    print("told", event["event"])
    if event["event"] == "saved":
        raise ValueError("a secret")
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Install a distribution with a sink into a folder."""
    metadata = tmp_path / "trail-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: trail\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[ksm_storage.audit_sinks]\ntrail = trail_sink\n")
    (tmp_path / "trail_sink.py").write_text(SINK)
    return tmp_path


def emitted(site: Path, kind: str, **variables: str) -> subprocess.CompletedProcess[str]:
    code = f"from ksm_storage.audit.events import emit; emit({kind!r}); print('went on')"
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(site), **variables},
        capture_output=True,
        text=True,
        check=True,
    )


def test_a_sink_that_was_named_is_told(site: Path) -> None:
    done = emitted(site, "opened", KSM_STORAGE_AUDIT_SINKS="trail")

    assert done.stdout == "told opened\nwent on\n"


def test_a_sink_that_is_only_installed_is_not_told(site: Path) -> None:
    assert emitted(site, "opened").stdout == "went on\n"


def test_what_a_sink_raises_stops_nothing_and_is_not_repeated(site: Path) -> None:
    done = emitted(site, "saved", KSM_STORAGE_AUDIT_SINKS="trail")

    assert done.stdout == "told saved\nwent on\n"
    assert done.stderr == (
        "warning: audit events are lost: the audit sink 'trail' raised ValueError\n"
    )
