"""`sparsefast train`, `eval`, `sample`, `reconstruct` and `plot`."""
