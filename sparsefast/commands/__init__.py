"""`sparsefast train`, `eval`, `sample` and `reconstruct`."""
