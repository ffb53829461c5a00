"""Tables in Markdown, as GitHub and the Hub render them: for cards, the study and benchmarks."""

from collections.abc import Iterable


def table(header: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """Return a table whose columns of numbers are aligned right; bars in cells are escaped.

    Raises:
        ValueError: a row is not as long as the others.
    """
    header = list(header)
    cells = [[str(cell).replace("|", "\\|") for cell in row] for row in rows]
    columns = zip(*cells, strict=True) if cells else [()] * len(header)
    rule = ["---:" if column and all(map(_is_number, column)) else "---" for column in columns]
    return "\n".join(f"| {' | '.join(line)} |" for line in (header, rule, *cells))


def _is_number(cell: str) -> bool:
    return not cell or cell.lstrip("-")[:1].isdigit()
