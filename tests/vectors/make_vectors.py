"""Write the vector files: python -m tests.vectors.make_vectors."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path

from tests.vectors import right_cases, wrong_cases
from tests.vectors.with_kek import cases as with_kek

FOLDER = Path(__file__).parent
DOCUMENT = "docs/envelope-format.md"
WITH_KEK = "with_kek/wrapped-deks.json"


def vector_files() -> dict[str, str]:
    """Return the text of each file by its name; the same text each time."""
    by_file: dict[str, list[dict[str, object]]] = defaultdict(list)
    for case in [*right_cases.cases(), *wrong_cases.cases()]:
        by_file[f"{case.expect}.json"].append(case.as_dict())
    by_file[WITH_KEK] = list(with_kek.vectors())
    return {
        name: json.dumps({"format": DOCUMENT, "vectors": vectors}, indent=1) + "\n"
        for name, vectors in by_file.items()
    }


def main() -> None:
    """Write all files into this folder."""
    for name, text in vector_files().items():
        (FOLDER / name).write_text(text, encoding="ascii")


if __name__ == "__main__":
    main()
