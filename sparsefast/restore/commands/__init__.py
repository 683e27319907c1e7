"""`sparsefast denoise` and `inpaint`."""
