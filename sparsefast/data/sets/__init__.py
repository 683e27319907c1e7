"""The sets of images, one a file; `sparsefast.data.open_set` opens them."""
