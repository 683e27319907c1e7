"""The shortest pipeline: a denoiser of photographs, and the pictures that it makes of noise. Begin here to add one.

`config.py` has the keys, `task.py` the losses, the evaluation and the sampler, `network.py` the network; the rest is a
line in `sparsefast.pipelines.MODELS` and `sparsefast/conf/model/denoiser.yaml`.
"""
