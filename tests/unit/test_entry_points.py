"""The search finds what ``importlib.metadata`` finds, without its cost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from importlib.metadata import Distribution, DistributionFinder, PathDistribution, entry_points
from pathlib import Path

import pytest

from ksm_storage.keys import discovery
from ksm_storage.keys.discovery import GROUP, EntryPoint, find_entry_points
from ksm_storage.testing.distributions import write_distribution

Row = tuple[str, str, str]


def ours() -> list[Row]:
    return [(entry.name, entry.module, entry.distribution) for entry in find_entry_points()]


def theirs() -> list[Row]:
    return [
        (entry.name, entry.value.partition("[")[0].strip(), normalised(entry.dist))
        for entry in entry_points(group=GROUP)
    ]


def normalised(distribution: Distribution | None) -> str:
    assert distribution is not None
    return distribution.name.replace("_", "-").replace(".", "-").lower()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_the_environment_of_this_test_gives_the_same_both_ways() -> None:
    assert {"key-file", "os-keyring"} <= {name for name, _, _ in ours()}
    assert sorted(ours()) == sorted(theirs())


@pytest.mark.parametrize(
    "text",
    [
        f"[{GROUP}]\nacme = acme_plugin\n",
        f"\n# comment\n[{GROUP}]\n  acme=acme_plugin  \n# other = x\n\n[scripts]\na = b:c\n",
        f"[console_scripts]\na = b:c\n[{GROUP}]\nacme = acme_plugin [extra]\nsecond = two.three\n",
        f"[{GROUP}]\r\nacme = acme_plugin\r\n",
        f"[{GROUP}.more]\nacme = acme_plugin\n",
        f"[console_scripts]\n{GROUP} = acme_plugin:main\n",
        f"[{GROUP}]\nAcme = Acme_Plugin\n",
        f"[{GROUP}]\nacme = one\nacme = two\n",
        "",
    ],
)
def test_a_file_of_entry_points_reads_the_same_both_ways(folder: Path, text: str) -> None:
    metadata = write_distribution(folder, "acme")
    (metadata / "entry_points.txt").write_bytes(text.encode())

    assert ours() == theirs()


@pytest.mark.parametrize("name", ["acme", "Acme", "ac.me", "ac-me", "ac_me", "AC--ME"])
def test_a_distributions_name_is_normalised(folder: Path, name: str) -> None:
    write_distribution(folder, name, providers={"acme": "m"})

    [found] = [row for row in ours() if row[0] == "acme"]

    assert found[2] in ("acme", "ac-me")


@pytest.mark.parametrize("second", ["acme-plugin", "Acme_Plugin", "acme.plugin"])
def test_the_first_distribution_of_a_name_hides_the_later_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, second: str
) -> None:
    for place, name in (("later", second), ("first", "acme_plugin")):
        write_distribution(tmp_path / place, name, providers={"acme": place})
        monkeypatch.syspath_prepend(tmp_path / place)

    assert ours() == theirs()
    assert [module for name, module, _ in ours() if name == "acme"] == ["first"]


def test_a_folder_that_is_twice_on_the_path_counts_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_distribution(folder, "acme", providers={"acme": "m"})
    (folder.parent / "link").symlink_to(folder)
    monkeypatch.setattr(
        sys, "path", [str(folder), str(folder), str(folder.parent / "link"), *sys.path]
    )

    assert ours() == theirs()
    assert [name for name, _, _ in ours()].count("acme") == 1


def test_a_first_distribution_without_providers_hides_a_later_one_with_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_distribution(tmp_path / "later", "acme", providers={"acme": "m"})
    monkeypatch.syspath_prepend(tmp_path / "later")
    (write_distribution(tmp_path / "first", "acme") / "entry_points.txt").unlink()
    monkeypatch.syspath_prepend(tmp_path / "first")

    assert ours() == theirs()
    assert "acme" not in {name for name, _, _ in ours()}


def test_the_version_comes_from_the_folders_name(folder: Path) -> None:
    write_distribution(folder, "acme-plugin", version="1.2.3rc1", providers={"acme": "m"})

    assert EntryPoint("acme", "m", "acme-plugin", "1.2.3rc1") in find_entry_points()


@pytest.mark.parametrize("name", ["acme-1.0-py3.11.egg-info", "acme-1.0.egg-info", "acme.egg-info"])
def test_an_egg_info_folder_is_found(folder: Path, name: str) -> None:
    (folder / name).mkdir()
    (folder / name / "PKG-INFO").write_text("Metadata-Version: 1.0\nName: acme\nVersion: 1.0\n")
    (folder / name / "entry_points.txt").write_text(f"[{GROUP}]\nacme = m\n")

    assert ours() == theirs()
    assert [e.version for e in find_entry_points() if e.name == "acme"] in (["1.0"], [""])


def test_an_egg_info_file_offers_nothing_and_hides_as_a_distribution_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_distribution(tmp_path / "later", "acme", providers={"acme": "m"})
    monkeypatch.syspath_prepend(tmp_path / "later")
    (tmp_path / "acme-1.0.egg-info").write_text("Metadata-Version: 1.0\nName: acme\n")
    monkeypatch.syspath_prepend(tmp_path)

    assert ours() == theirs()


def test_a_zip_file_on_the_path_is_searched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = tmp_path / "plugins.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("acme-1.0.dist-info/METADATA", "Name: acme\nVersion: 1.0\n")
        file.writestr("acme-1.0.dist-info/entry_points.txt", f"[{GROUP}]\nacme = m\n")
    monkeypatch.syspath_prepend(archive)

    assert ours() == theirs()
    assert EntryPoint("acme", "m", "acme", "1.0") in find_entry_points()


def test_an_egg_folder_on_the_path_is_searched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    metadata = tmp_path / "acme-1.0-py3.11.egg" / "EGG-INFO"
    metadata.mkdir(parents=True)
    (metadata / "PKG-INFO").write_text("Metadata-Version: 1.0\nName: acme\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[{GROUP}]\nacme = m\n")
    monkeypatch.syspath_prepend(metadata.parent)

    assert ours() == theirs()
    assert ("acme", "m", "acme") in ours()


class OwnFinder(DistributionFinder):
    """Find one distribution that lies on no path."""

    def __init__(self, metadata: Path) -> None:
        self._metadata = metadata

    def find_spec(self, *arguments: object) -> ModuleSpec | None:
        return None

    def find_distributions(
        self,
        context: DistributionFinder.Context = DistributionFinder.Context(),  # noqa: B008
    ) -> Iterator[Distribution]:
        yield PathDistribution(self._metadata)


@pytest.mark.parametrize("place", [0, 1000])
def test_a_finder_that_knows_distributions_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: int
) -> None:
    metadata = write_distribution(tmp_path, "acme", providers={"acme": "m"})
    finders = list(sys.meta_path)
    finders.insert(place, OwnFinder(metadata))
    monkeypatch.setattr(sys, "meta_path", finders)

    assert ours() == theirs()
    assert ("acme", "m", "acme") in ours()


def test_what_a_killed_pip_left_behind_is_no_second_distribution(folder: Path) -> None:
    write_distribution(folder, "acme", providers={"acme": "m"})
    write_distribution(folder, "~cme", providers={"acme": "m"})

    assert [row for row in ours() if row[0] == "acme"] == [("acme", "m", "acme")]


@pytest.mark.parametrize("text", [f"[{GROUP}]\nno equals sign\n", f"[{GROUP}\nx = y\n", "\xff"])
def test_a_damaged_file_harms_no_other_distribution(folder: Path, text: str) -> None:
    damaged = write_distribution(folder, "damaged")
    (damaged / "entry_points.txt").write_bytes(text.encode("latin-1") + GROUP.encode())
    write_distribution(folder, "acme", providers={"acme": "m"})

    assert [row for row in ours() if row[2] in ("damaged", "acme")] == [("acme", "m", "acme")]


@pytest.mark.parametrize("entry", ["/no/such/folder", "", "\0", 7, None])
def test_an_entry_of_the_path_that_is_no_folder_is_passed_over(
    monkeypatch: pytest.MonkeyPatch, entry: object
) -> None:
    monkeypatch.setattr(sys, "path", [entry, *sys.path])

    assert {"key-file", "os-keyring"} <= {name for name, _, _ in ours()}


def test_a_folder_is_listed_again_only_after_it_changed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_distribution(folder, "acme", providers={"acme": "m"})
    settle(folder)
    # Alone: other folders of the path may change while this runs.
    monkeypatch.setattr(sys, "path", [str(folder)])
    listed = listing_of(monkeypatch, folder)

    first, second = ours(), ours()
    write_distribution(folder, "other", providers={"other": "m"})
    third = ours()

    assert first == second
    assert listed == [str(folder)] * 2
    assert {name for name, _, _ in third} - {name for name, _, _ in first} == {"other"}


def test_a_search_of_an_unchanged_path_parses_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_distribution(folder, "acme", providers={"acme": "m"})
    settle(folder)
    monkeypatch.setattr(sys, "path", [str(folder)])
    first = ours()
    # In a fleet of files this was a third of the time of each.
    monkeypatch.setattr(discovery, "_parsed", None)

    assert ours() == first == [("acme", "m", "acme")]


def test_what_was_found_is_remembered_beside_the_finder_of_the_backport(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It searches the same path; libraries that the fleets of some users import put it there.
    backport = type("MetadataPathFinder", (OwnFinder,), {"__module__": "importlib_metadata"})
    write_distribution(folder, "acme", providers={"acme": "m"})
    settle(folder)
    monkeypatch.setattr(sys, "path", [str(folder)])
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, backport(folder)])
    first = ours()
    monkeypatch.setattr(discovery, "_parsed", None)

    assert ours() == first == [("acme", "m", "acme")]


def test_a_finder_that_comes_later_is_asked(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_distribution(folder, "acme", providers={"acme": "m"})
    settle(folder)
    monkeypatch.setattr(sys, "path", [str(folder)])
    before = ours()
    other = write_distribution(folder.parent / "other", "other", providers={"other": "m"})
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, OwnFinder(other)])

    assert ours() == [*before, ("other", "m", "other")]


def test_a_folder_that_changed_this_moment_is_not_remembered(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_distribution(folder, "acme", providers={"acme": "m"})
    os.utime(folder)
    listed = listing_of(monkeypatch, folder)

    ours(), ours()

    assert listed == [str(folder)] * 2


def test_another_folder_of_the_same_name_is_another_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    for name in ("one", "two"):
        write_distribution(tmp_path / name, name, providers={name: "m"})
        settle(tmp_path / name)
        monkeypatch.chdir(tmp_path / name)

        assert [row for row in ours() if row[0] in ("one", "two")] == [(name, "m", name)]


def test_each_group_is_remembered_for_itself(folder: Path) -> None:
    write_distribution(folder, "acme", providers={"acme": "m"})
    settle(folder)

    assert find_entry_points("ksm_storage.no_such_group") == []
    assert ("acme", "m", "acme") in ours()


def settle(folder: Path) -> None:
    """Make a folder look as if it had not changed for a while."""
    os.utime(folder, ns=(10**18, 10**18))


def listing_of(monkeypatch: pytest.MonkeyPatch, folder: Path) -> list[str]:
    """Record how often a folder is listed."""
    listed: list[str] = []
    scandir = os.scandir

    def recorded(path: str) -> object:
        if path == str(folder):
            listed.append(path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", recorded)
    return listed


def test_a_plain_search_imports_neither_importlib_metadata_nor_configparser() -> None:
    code = (
        "import json, sys; from ksm_storage.keys.discovery import find_entry_points as find; "
        "names = [entry.name for entry in find()]; print(json.dumps([names, list(sys.modules)]))"
    )

    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ
    )

    names, modules = json.loads(ran.stdout)
    assert "key-file" in names
    assert not {"importlib.metadata", "configparser", "email", "zipfile"} & set(modules)
