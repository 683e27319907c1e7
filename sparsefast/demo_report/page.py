"""A page of HTML in one file: headings, words, tables, and pictures inside of it."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable

import numpy as np

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 68rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
img { max-width: 100%; display: block; margin: .5rem 0; image-rendering: pixelated; }
table { border-collapse: collapse; margin: .5rem 0; } td { border-top: 1px solid #ddd; padding: .2rem 1rem .2rem 0; }
pre { background: #f6f6f6; padding: .8rem; overflow-x: auto; font-size: 13px; } figcaption { color: #555; }
"""


class Page:
    """Parts of a page in their order; everything given is text, and shown as it is.

    Parameters
    ----------
    title : str
    """

    def __init__(self, title: str) -> None:
        self._title = html.escape(title)
        self._parts = [f"<h1>{self._title}</h1>"]

    def heading(self, text: str) -> None:
        """A heading of a section."""
        self._parts.append(f"<h2>{html.escape(text)}</h2>")

    def words(self, text: str) -> None:
        """A paragraph."""
        self._parts.append(f"<p>{html.escape(text)}</p>")

    def listing(self, text: str) -> None:
        """Text of a terminal."""
        self._parts.append(f"<pre>{html.escape(text)}</pre>")

    def figures(self, rows: Iterable[tuple[str, str]]) -> None:
        """A table of names and values."""
        cells = "".join(f"<tr><td>{html.escape(a)}</td><td>{html.escape(b)}</td></tr>" for a, b in rows)
        self._parts.append(f"<table>{cells}</table>")

    def picture(self, pixels: np.ndarray, caption: str) -> None:
        """A picture (H, W, 3), uint8."""
        from sparsefast.training.pictures import png

        self.png(png(pixels), caption)

    def png(self, data: bytes, caption: str) -> None:
        """The bytes of a PNG file."""
        coded, words = base64.b64encode(data).decode(), html.escape(caption)
        self._parts.append(
            f'<figure><img src="data:image/png;base64,{coded}" alt="{words}"><figcaption>{words}</figcaption></figure>'
        )

    def html(self) -> str:
        """The whole page."""
        head = f'<meta charset="utf-8"><title>{self._title}</title><style>{_STYLE}</style>'
        body = "\n".join(self._parts)
        return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n{body}\n</body></html>\n'
