"""Make ``pip install '.[aws]'`` work in a clone: an extra installs the plugin beside it."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface


class ExtrasHook(MetadataHookInterface):
    """Fill in the extras from the hook's own table in pyproject.toml.

    In a clone a distribution of ours is required by its folder, because its name is on no index
    and must not be looked for there. A source distribution has no such folders, so what is built
    from it requires the name.
    """

    def update(self, metadata: dict[str, Any]) -> None:
        """Set the extras in the metadata of the distribution."""
        beside = _distributions_below(Path(self.root))
        extras = {name: value for name, value in self.config.items() if isinstance(value, list)}
        metadata["optional-dependencies"] = {
            name: [_required(requirement, beside) for requirement in requirements]
            for name, requirements in extras.items()
        }


def _required(requirement: str, beside: dict[str, Path]) -> str:
    folder = beside.get(requirement)
    return f"{requirement} @ {folder.as_uri()}" if folder else requirement


def _distributions_below(root: Path) -> dict[str, Path]:
    projects = [*root.glob("plugins/*/pyproject.toml"), *root.glob("*/pyproject.toml")]
    return {
        tomllib.loads(path.read_text(encoding="utf-8"))["project"]["name"]: path.parent
        for path in projects
    }
