"""The report of the demonstration: one file, in which everything is."""

import base64
import io
import re
from html.parser import HTMLParser

import numpy as np
from PIL import Image

from sparsefast.demo_report import build
from sparsefast.demo_report.page import Page
from sparsefast.images import to_float
from sparsefast.images.photos import photos
from tests.training.conftest import one_thread

__all__ = ["one_thread"]


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.images, self.texts = [], [], []

    def handle_starttag(self, tag, attrs):
        if tag == "img":
            self.images.append(dict(attrs))
        elif tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def read(text):
    tags = Tags()
    tags.feed(text)
    assert not tags.open
    return tags


def test_a_page_shows_what_it_is_given_and_nothing_of_it_is_code():
    page = Page("<b>T</b>")
    page.heading("a < b")
    page.words("<script>alert(1)</script>")
    page.listing("x & y")
    page.figures([("PSNR", "<31>")])
    page.picture(np.arange(12, dtype=np.uint8).reshape(2, 2, 3), 'it\'s "quoted"')
    tags = read(page.html())
    for part in ("a < b", "<script>alert(1)</script>", "x & y", "<31>", 'it\'s "quoted"'):
        assert part in tags.texts
    (image,) = tags.images
    data = base64.b64decode(image["src"].removeprefix("data:image/png;base64,"))
    assert np.asarray(Image.open(io.BytesIO(data))).ravel().tolist() == list(range(12))


def test_the_report_has_pictures_curves_and_figures_of_its_own_and_needs_no_other_file(tmp_path, monkeypatch, capsys):
    for name, size in (("DENOISED", 48), ("INPAINTED", 40)):
        monkeypatch.setattr(build, name, size)
    truth = to_float(photos()["coffee"])
    (tmp_path / "laser").mkdir()  # of an earlier demonstration, which stays
    path = build.build(tmp_path, "coffee", truth, steps=4)
    assert (tmp_path / "laser-2" / "weights.safetensors").exists() and not any((tmp_path / "laser").iterdir())
    text = path.read_text()
    tags = read(text)
    assert len(tags.images) == 4
    assert not re.search(r'(src|href)="(?!data:)', text)
    said = capsys.readouterr().out
    for before, after in re.findall(r"denoised +([\d.]+) dB to ([\d.]+) dB", said)[-1:]:
        assert float(after) > float(before) + 3
    numbers = dict(zip(tags.texts[:-1], tags.texts[1:], strict=True))
    assert float(numbers["held-out PSNR"].removesuffix(" dB")) > 5
