"""`sparsefast bench laser`: what a dictionary bottleneck is worth and what it costs, beside vector quantisers.

`rate` compares picture quality at equal entropy, `pixels` repeats a table on single pixels, `speed` times the layers,
and `train` steps of training, on a GPU too.
"""
