"""How near reconstructions and samples are to the images: the metrics of training and evaluation, through torchmetrics.

`image_metrics` holds what others call; `weights` finds the networks of LPIPS and FID, which are never downloaded.
"""
