"""Data sets of images: configs, batches that are a function of (seed, epoch, index), and their loaders.

What needs PyTorch is in `sparsefast.data.loader`, `sparsefast.data.rate` and `sparsefast.data.values`.
"""

from sparsefast.data.config import CONFIGS as CONFIGS
from sparsefast.data.config import DataConfig as DataConfig
from sparsefast.data.image_set import ImageSet as ImageSet
from sparsefast.data.image_set import open_set as open_set
from sparsefast.data.sampler import EpochSampler as EpochSampler
from sparsefast.data.seeds import sample_seeds as sample_seeds
from sparsefast.data.seeds import uniform_integers as uniform_integers
