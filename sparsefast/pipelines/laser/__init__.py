"""LASER: autoencoders of images whose bottleneck is a codebook (`vqvae`) or a dictionary (`dlvae`).

The networks follow A. van den Oord, O. Vinyals, K. Kavukcuoglu, "Neural discrete representation learning", NeurIPS
2017.
"""
