"""Lay a distribution out in a folder as an installer would, for tests of discovery."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..keys.discovery import GROUP


def write_distribution(
    folder: Path,
    name: str,
    *,
    version: str = "1.0",
    providers: Mapping[str, str] | None = None,
    modules: Mapping[str, str] | None = None,
) -> Path:
    """Write modules and metadata into a folder meant for ``sys.path``; return the metadata's.

    Args:
        providers: Entry points of the group that ksm-storage searches: provider -> module.
        modules: Source text by file name, relative to the folder.
    """
    metadata = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    entries = [f"{provider} = {module}" for provider, module in (providers or {}).items()]
    (metadata / "entry_points.txt").write_text("\n".join([f"[{GROUP}]", *entries, ""]))
    for path, text in (modules or {}).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    return metadata
