"""The peers, each as its users call it, set-up of the dictionary inside the timed call as it is for us.

A peer that is not installed is reported as absent. Transposed views are handed over where a peer wants columns: they
are in the order that it asks for and cost nothing.
"""

from sparsefast.bench.peers import greedy, iht, masked, nearest, positive, topk

__all__ = ["greedy", "iht", "masked", "nearest", "positive", "topk"]
