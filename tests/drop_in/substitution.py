"""Change a program's imports from the official package to the engine, and nothing else.

Each imported name comes from the engine if the engine has it, in the module of the same name.
What the engine does not have, such as the official package's mock server, stays official.
"""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator

OFFICIAL, OURS = "keeper_secrets_manager_core", "ksm_storage.engine"


def substituted(source: str) -> str:
    """Return the program with its imports changed, line for line."""
    lines = source.splitlines(keepends=True)
    for node in reversed(list(_imports(ast.parse(source)))):
        indent = lines[node.lineno - 1][: node.col_offset]
        text = "; ".join(_replaced(node))
        # The same number of lines, so that a traceback leads to the original.
        count = (node.end_lineno or node.lineno) - node.lineno
        lines[node.lineno - 1 : node.end_lineno] = [f"{indent}{text}\n", *["\n"] * count]
    return "".join(lines)


def _imports(tree: ast.AST) -> Iterator[ast.ImportFrom | ast.Import]:
    found = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom | ast.Import)]
    for node in sorted(found, key=lambda node: node.lineno):
        names = [alias.name for alias in node.names]
        if isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        if any(name.split(".")[0] == OFFICIAL for name in names):
            yield node


def _replaced(node: ast.ImportFrom | ast.Import) -> Iterator[str]:
    for alias in node.names:
        bound = f" as {alias.asname}" if alias.asname else ""
        if isinstance(node, ast.Import):
            mine = alias.name.replace(OFFICIAL, OURS)
            if not _is_module(mine):
                yield f"import {alias.name}{bound}"
                continue
            yield f"import {mine if alias.asname else f'{mine} as {OFFICIAL}'}{bound}"
            continue
        module = str(node.module)
        mine = module.replace(OFFICIAL, OURS)
        yield f"from {mine if _has(mine, alias.name) else module} import {alias.name}{bound}"


def _has(module: str, name: str) -> bool:
    try:
        loaded = importlib.import_module(module)
    except ImportError:
        return False
    if hasattr(loaded, name):
        return True
    return _is_module(f"{module}.{name}")


def _is_module(name: str) -> bool:
    try:
        importlib.import_module(name)
    except ImportError:
        return False
    return True
