"""Fail where a file or a function has outgrown STYLE: 300 lines a file, 40 lines a function.

A function's docstring is not counted, since public ones must say shapes, units, errors and source. Generated code is
left out.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDERS = ("protos", "strategies", "client", "server", "simulations", "cli", "tests", ".ci")
FILE_LINES = 300
FUNCTION_LINES = 40


def oversized(path: Path) -> Iterator[str]:
    """Yield one line for the file, and for each function in it, that is too long."""
    source = path.read_text(encoding="utf-8")
    name = path.relative_to(ROOT)
    lines = source.count("\n")
    if lines > FILE_LINES:
        yield f"{name}: {lines} lines, at most {FILE_LINES}; split it by concept"
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (length := code_lines(node)) > FUNCTION_LINES:
            yield f"{name}:{node.lineno}: {node.name} has {length} lines, at most {FUNCTION_LINES}; split it by step"


def code_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from `def` to the end, less the docstring."""
    first = function.body[0]
    documented = ast.get_docstring(function) is not None
    docstring = last_line(first) - first.lineno + 1 if documented else 0
    return last_line(function) - function.lineno + 1 - docstring


def last_line(node: ast.stmt) -> int:
    """The line a statement ends on; the parser always knows it."""
    return node.end_lineno or node.lineno


def main() -> int:
    """Print every finding; the exit code says whether there was one."""
    files = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py")) if "_pb2" not in path.name]
    findings = [line for path in files for line in oversized(path)]
    print("\n".join(findings) or f"sizes: {len(files)} files within limits")
    return bool(findings)


if __name__ == "__main__":
    sys.exit(main())
