"""Contact sheets: pictures of any size and type in their places, with labels that stay in theirs."""

import numpy as np
import pytest

from sparsefast.images.sheets import GAP, LABEL_HEIGHT, contact_sheet


def test_panes_stand_in_a_row_over_their_labels():
    grey, colour = np.ones((20, 60, 1)), np.zeros((20, 60, 3))
    sheet = contact_sheet([grey, colour], ["a", "b"])
    assert sheet.shape == (20 + LABEL_HEIGHT, 2 * 60 + GAP, 3)
    assert sheet.dtype == np.uint8
    assert (sheet[:20, :60] == 255).all()
    assert not sheet[:20, 60 + GAP :].any()
    for left in (0, 60 + GAP):
        assert (sheet[20:, left : left + 10] < 128).any()
        assert (sheet[20:, left + 20 : left + 60] == 255).all()


def test_pictures_of_different_sizes_and_types_stand_in_rows_and_columns():
    pictures = [
        np.full((10, 20), 10, np.uint8),
        np.full((30, 5, 3), 20, np.uint8),
        np.full((4, 40), 30 * 257, np.uint16),
        np.full((6, 7), 40 / 255, np.float32),
        np.zeros((2, 3), bool),
    ]
    sheet = contact_sheet(pictures, columns=2)
    lefts, tops = (0, 40 + GAP), (0, 30 + GAP, 30 + 6 + 2 * GAP)
    assert sheet.shape == (tops[2] + 2, lefts[1] + 7, 3)
    left_over = np.ones(sheet.shape[:2], bool)
    for i, (picture, level) in enumerate(zip(pictures, (10, 20, 30, 40, 0), strict=True)):
        top, left = tops[i // 2], lefts[i % 2]
        part = slice(top, top + picture.shape[0]), slice(left, left + picture.shape[1])
        assert (sheet[part] == level).all()
        left_over[part] = False
    assert (sheet[left_over] == 255).all()


def test_labels_stand_under_pictures_of_each_height_and_long_ones_are_cut():
    pictures = [np.zeros((10, 50), np.uint8), np.zeros((40, 50), np.uint8), np.zeros((10, 3), np.uint8)]
    text = "a label that is far too long for its pane"
    sheet = contact_sheet(pictures, [text, "b\nc", text])
    assert (sheet[10 : 10 + LABEL_HEIGHT, :50] < 128).any()
    assert (sheet[10 + LABEL_HEIGHT :, :50] == 255).all()
    assert (sheet[40:, 50 + GAP : 100 + GAP] < 128).any()
    assert (sheet[:, 50 : 50 + GAP] == 255).all()
    assert (sheet[10:, 100 + 2 * GAP :] == 255).all()
    np.testing.assert_array_equal(contact_sheet(pictures[:1], [""])[10:], 255)


def test_one_row_is_the_default_and_more_columns_than_pictures_are_no_wider(photo):
    np.testing.assert_array_equal(contact_sheet([photo, photo]), contact_sheet([photo, photo], columns=9))
    np.testing.assert_array_equal(contact_sheet([photo]), photo)


def test_wrong_arguments_are_named(photo):
    for call, message in (
        (lambda: contact_sheet([]), "there are no pictures"),
        (lambda: contact_sheet([photo], ["a", "b"]), "2 labels do not go with 1 pictures"),
        (lambda: contact_sheet([photo], columns=0), "columns=0 must be at least 1"),
        (lambda: contact_sheet([photo[:, :, :2]]), r"a picture of shape \(61, 83, 2\)"),
        (lambda: contact_sheet([photo[:0]]), r"a picture of shape \(0, 83, 3\)"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
