"""Run notebooks of docs/notebooks without Jupyter, each in a namespace of its own, and print what their cells show."""

import ast
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

NOTEBOOKS = Path(__file__).parent.parent / "docs" / "notebooks"


def cells(notebook: Path) -> list[str]:
    """The code of a notebook, cell by cell."""
    return ["".join(cell["source"]) for cell in json.loads(notebook.read_text("utf-8"))["cells"] if cell["cell_type"] == "code"]


def run(notebook: Path) -> Iterator[Any]:
    """Run the cells in order; gives the value of each one's last expression, None where it ends in something else."""
    names: dict[str, Any] = {"__name__": "__main__"}
    for number, source in enumerate(cells(notebook), start=1):
        called = f"{notebook.name}, cell {number}"
        body = ast.parse(source, called).body
        last = body.pop() if body and isinstance(body[-1], ast.Expr) else None
        exec(compile(ast.Module(body, []), called, "exec"), names)
        yield eval(compile(ast.Expression(last.value), called, "eval"), names) if isinstance(last, ast.Expr) else None


def shown(value: Any) -> str:
    """What a notebook shows of a value: HTML where there is some."""
    html: str | None = value._repr_html_() if hasattr(value, "_repr_html_") else None
    return repr(value) if html is None else html


def main(notebooks: list[Path]) -> None:
    """Run notebooks, all of them by default."""
    for notebook in notebooks or sorted(NOTEBOOKS.glob("*.ipynb")):
        for value in run(notebook):
            if value is not None:
                html = shown(value)
                print(html if len(html) < 2000 else f"{type(value).__name__}: {len(html):,} characters of HTML")


if __name__ == "__main__":
    main([Path(name) for name in sys.argv[1:]])
