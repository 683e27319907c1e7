"""The python blocks of README.md and docs/ run as they stand: those of a page in order, in one namespace."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PAGES = [
    page
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
    if BLOCK.search(page.read_text(encoding="utf-8"))
]
# Packages that a page compares with and the tests do without; such a page has them last.
OPTIONAL = {"spams"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_examples_run(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    namespace: dict[str, object] = {"__name__": "example"}
    for block in BLOCK.finditer(text):
        # So that an error names the line of the page.
        lines_before = text.count("\n", 0, block.start(1))
        try:
            exec(compile("\n" * lines_before + block[1], str(page), "exec"), namespace)
        except ModuleNotFoundError as error:
            if error.name not in OPTIONAL:
                raise
            pytest.skip(f"{error.name} is not installed; the blocks before it ran")


def test_there_are_pages_with_examples():
    assert {"README.md", "coming-from.md"} <= {page.name for page in PAGES}
