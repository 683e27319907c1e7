"""Pictures restored by sparse coding: noise taken out, missing pixels filled in."""

from sparsefast.restore.denoising import denoise, noise_level
from sparsefast.restore.inpainting import inpaint

__all__ = ["denoise", "inpaint", "noise_level"]
