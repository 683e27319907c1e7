"""`sparsefast bench denoise` and `bench inpaint`: how well, and how fast, pictures are restored."""
