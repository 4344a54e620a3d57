"""List the parts of a distribution as CycloneDX, in the versions that are tested."""

from __future__ import annotations

import hashlib
import uuid
import zipfile
from collections.abc import Iterator
from datetime import datetime
from email.parser import Parser
from importlib.metadata import PackageMetadata, PackageNotFoundError, distribution
from pathlib import Path

from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import LicenseExpression
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def write_sbom(wheel: Path, *, released: datetime) -> Path:
    """Write ``NAME-VERSION.cdx.json`` beside a wheel and return its path.

    The requirements are those on this Python and platform, in the versions installed here, which
    are the versions of constraints.txt. Optional requirements are left out.
    """
    content = wheel.read_bytes()
    with zipfile.ZipFile(wheel) as archive:
        name = next(each for each in archive.namelist() if each.endswith(".dist-info/METADATA"))
        metadata = Parser().parsestr(archive.read(name).decode())
    root = _component(metadata["Name"], metadata["Version"], metadata["License-Expression"])
    root.type = ComponentType.APPLICATION
    digest = hashlib.sha256(content).hexdigest()
    root.hashes.add(HashType(alg=HashAlgorithm.SHA_256, content=digest))

    # The same wheel gives the same list: nothing in it is random or of this moment.
    bom = Bom(serial_number=uuid.uuid5(uuid.NAMESPACE_URL, f"sha256:{digest}"))
    bom.metadata.component = root
    bom.metadata.timestamp = released
    _add_requirements(bom, root, metadata.get_all("Requires-Dist") or [])

    path = wheel.with_name(f"{'-'.join(wheel.name.split('-')[:2])}.cdx.json")
    path.write_text(JsonV1Dot6(bom).output_as_string(indent=2) + "\n", encoding="utf-8")
    return path


def _add_requirements(bom: Bom, component: Component, requirements: list[str]) -> None:
    below = []
    for requirement in _applying(requirements):
        found = distribution(requirement.name)
        known = _component(found.name, found.version, _licence(found.metadata))
        below.append(known)
        if known not in bom.components:
            bom.components.add(known)
            _add_requirements(bom, known, found.requires or [])
    bom.register_dependency(component, below)


def _applying(requirements: list[str]) -> Iterator[Requirement]:
    for text in requirements:
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            try:
                distribution(requirement.name)
            except PackageNotFoundError:
                raise SystemExit(f"error: {requirement.name} is not installed") from None
            yield requirement


def _component(name: str, version: str, expression: str | None) -> Component:
    plain = canonicalize_name(name)
    return Component(
        name=plain,
        version=version,
        bom_ref=f"{plain}=={version}",
        purl=PackageURL("pypi", None, plain, version),
        licenses=[LicenseExpression(expression)] if expression else [],
    )


def _licence(metadata: PackageMetadata) -> str | None:
    return next(iter(metadata.get_all("License-Expression") or []), None)
