"""State the aims of performance, and read what was reached from the stored results."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from benchmarks.tables import Row, Table, shown

Pictures = Mapping[str, Sequence[Table]]
Found = Callable[[Pictures], float]


class Aim(NamedTuple):
    """State one aim.

    Attributes:
        subject: What is measured.
        limit: The number that it is held against.
        unit: The unit of both numbers, or what the ratio is to.
        found: Reads what was reached; raises KeyError where it was not measured.
        at_least: Whether the number must reach the limit, and not stay below it.
    """

    subject: str
    limit: float
    unit: str
    found: Found
    at_least: bool = False

    def cells(self, pictures: Pictures) -> Sequence[str]:
        """Return the aim, what was reached, and whether that is enough."""
        words = f"at {'least' if self.at_least else 'most'} {self._number(self.limit)} {self.unit}"
        try:
            value = self.found(pictures)
        except KeyError:
            return (self.subject, words, "not measured", "")
        enough = value >= self.limit if self.at_least else value <= self.limit
        return (self.subject, words, self._number(value), "yes" if enough else "**no**")

    def _number(self, number: float) -> str:
        # Near 1, a ratio needs its decimals.
        return f"{number:.2f}" if self.unit.startswith("of ") else shown(number)


def markdown(pictures: Pictures) -> Iterator[str]:
    """Yield the lines of the table."""
    yield "| | aim | measured | reached |"
    yield "| --- | --- | --- | --- |"
    for aim in AIMS:
        yield f"| {' | '.join(aim.cells(pictures))} |"


def _table(pictures: Pictures, picture: str, title: str) -> Table:
    rows = [each for each in pictures.get(picture, ()) if each.title == title]
    if not rows:
        raise KeyError(title)
    # A table may be measured in parts.
    first, *others = rows
    return replace(first, rows=[row for table in (first, *others) for row in table.rows])


def ratio(picture: str, title: str, name: str, *, at: float | None = None) -> Found:
    """Return what reads the ratio of a row to the table's reference row."""

    def found(pictures: Pictures) -> float:
        table = _table(pictures, picture, title)
        assert table.beside is not None
        return table.find(name, at).value / table.find(table.beside, at).value

    return found


def value(picture: str, title: str, name: str, *, at: float | None = None) -> Found:
    """Return what reads the value of a row."""
    return lambda pictures: _table(pictures, picture, title).find(name, at).value


def column(picture: str, title: str, name: str, heading: str, *, at: float | None = None) -> Found:
    """Return what reads a further column of a row."""
    return lambda pictures: float(_table(pictures, picture, title).find(name, at).more[heading])


def growth(
    picture: str, title: str, name: str, heading: str, *, first: float, last: float
) -> Found:
    """Return what divides a further column at one point by that at another."""
    before, after = (column(picture, title, name, heading, at=at) for at in (first, last))
    return lambda pictures: after(pictures) / before(pictures)


def worst_ratio(picture: str, title: str, name: str) -> Found:
    """Return what reads the highest ratio of a curve."""

    def found(pictures: Pictures) -> float:
        table = _table(pictures, picture, title)
        assert table.beside is not None
        rows = table.series()[name]
        return max(row.value / table.find(table.beside, row.at).value for row in rows)

    return found


def flatness(picture: str, title: str, name: str) -> Found:
    """Return what divides the lowest value of a curve by its first value."""

    def found(pictures: Pictures) -> float:
        rows: list[Row] = _table(pictures, picture, title).series()[name]
        return min(row.value for row in rows) / rows[0].value

    return found


OURS, THROUGH_SDK = "ksm-storage", "ksm-storage, through the SDK"
_CLOUDS = ("AWS KMS", "Azure Key Vault", "Google Cloud KMS", "OCI Vault")
_OTHER_CREDENTIALS = ("Google Cloud KMS, federation", "OCI Vault, instance principal")
# What each took through the SDK before there was a direct call, of its floor.
_BEFORE = {
    "AWS KMS": 0.93,
    "Azure Key Vault": 1.10,
    "Google Cloud KMS": 0.99,
    "OCI Vault": 1.10,
}
_SDK, _BARE, _PASS = "of the SDK's floor", "of bare `AESGCM`", "of `python -c pass`"
_ENGINE = "of the official package's time"
_TASKS = {"all fields": 0.4, "one field, by title": 0.15, "one field, by uid": 0.03}


def _starts() -> Iterator[Aim]:
    for title in (*_CLOUDS, *_OTHER_CREDENTIALS):
        first = ratio("cold-start", title, OURS)
        end = column("cold-start", title, OURS, "x to the end")
        yield Aim(f"{title}, start to the first value", 0.45, _SDK, first)
        yield Aim(f"{title}, start to the end", 0.45, _SDK, end)
    for title in _CLOUDS:
        through = ratio("cold-start", title, THROUGH_SDK)
        yield Aim(f"{title}, through the SDK", _BEFORE[title], _SDK, through)
    azure = "Azure Key Vault"

    def requests(pictures: Pictures) -> float:
        row = _table(pictures, "key-service-calls", azure).find(OURS)
        return float(row.more["re-open"]) + float(row.more["sign-in of re-open"])

    yield Aim(f"{azure}, one open", 2, "requests", requests)
    yield Aim(
        "Key file, start to the first value", 1.5, _BARE, ratio("cold-start", "Key file", OURS)
    )
    keyring = ratio("cold-start", "OS keyring, GNOME", OURS)
    yield Aim("OS keyring, start to the first value", 1.1, "of `keyring` alone", keyring)
    pkcs11 = ratio("cold-start", "PKCS #11, SoftHSM 2", OURS)
    yield Aim("PKCS #11, start to the first value", 1.0, "of `python-pkcs11` alone", pkcs11)
    version = ratio("commands", "Command: start", "ksm-storage --version")
    yield Aim("`ksm-storage --version`", 2.5, _PASS, version)


def _fleets() -> Iterator[Aim]:
    local, kms, disk = "Fleet, key file", "Fleet, AWS KMS", "of the disk's own rate"
    for files in (1_000, 10_000):
        for step in ("protect", "rewrap"):
            found = ratio("fleet", local, step, at=files)
            yield Aim(f"{local}, {step}, {files:,} files", 0.5, disk, found, at_least=True)
        for step in ("check", "status"):
            found = value("fleet", local, step, at=files)
            yield Aim(f"{local}, {step}, {files:,} files", 2_000, "files/s", found, at_least=True)
        for step in ("protect", "rewrap", "check"):
            found = column("fleet", kms, step, "of the emulator's own", at=files)
            yield Aim(
                f"{kms}, {step}, {files:,} files", 0.8, "of the emulator's own rate", found, True
            )
    for title in (local, kms):
        for step in ("protect", "check"):
            found = growth("fleet", title, step, "MB peak", first=1_000, last=10_000)
            yield Aim(f"{title}, {step}, memory", 1.2, "of that for 1,000 files", found)


def _engine() -> Iterator[Aim]:
    for task, limit in _TASKS.items():
        title = f"Engine: {task}"
        at_most = ratio("engine", title, OURS, at=10_000)
        yield Aim(f"{title}, 10,000 records, not filtered", limit, _ENGINE, at_most)
        yield Aim(
            f"{title}, slowest of all sizes", 1.0, _ENGINE, worst_ratio("engine", title, OURS)
        )
    filtered = "Engine: one field, by uid, filtered by the server"
    yield Aim(filtered, 1.0, _ENGINE, ratio("engine", filtered, OURS))


def _servers() -> Iterator[Aim]:
    one = value("server-one-record", "One of 10,000 records", "local vault")
    yield Aim("Local vault, one of 10,000 records", 4, "ms", one)
    for name in ("local vault", "relay"):
        for connections in ("connections kept open", "a new connection for each request"):
            title = f"Reads, {connections}"
            yield Aim(
                f"{name.capitalize()}, {connections}: 1 to 32 clients",
                0.9,
                "of the reads/s of one client",
                flatness("server-load", title, name),
                at_least=True,
            )
    for moment in ("idle connections open", "right after the announcement"):
        longest = value("server-stop", "SIGTERM to the end, longest", moment)
        yield Aim(f"Local vault, SIGTERM, {moment}", 0.5, "s", longest)


def _warm() -> Iterator[Aim]:
    for size, words in ((1_000, "1 KB"), (1_000_000, "1 MB")):
        found = ratio("growth", "set", OURS, at=size)
        yield Aim(f"`set`, {words}", 1.2, "of a plain durable save", found)
    pins = ratio("pins", "Open under the last of some pinned keys", "10 pinned keys")
    yield Aim("Open under the last of 10 pinned keys", 1.1, "of one pinned key", pins)


def _project() -> Iterator[Aim]:
    for target, limit in (("demo", 5), ("test", 420), ("test-quick", 60)):
        found = value("make-targets", "Make", f"make {target}")
        yield Aim(f"`make {target}`, after installation", limit, "s", found)


AIMS = (*_starts(), *_fleets(), *_engine(), *_servers(), *_warm(), *_project())
