"""What a process of several does, for test_image_metrics: `process_script.py folder`, under the variables that torchrun
sets. The parts are uneven, and one process has no image at all for the last metrics."""

import json
import os
import sys
from pathlib import Path

import torch

from sparsefast.metrics.image_metrics import ImageMetrics
from sparsefast.metrics.states import FID

SPLIT = 5


class Means(torch.nn.Module):
    """Means over quarters of the image: features that need no weights."""

    def forward(self, images):
        return torch.nn.functional.adaptive_avg_pool2d(images.float(), 2).flatten(1) / 255


def fid_of(images, others):
    metric = FID(Means(), 12)
    metric.update(images, real=True)
    metric.update(others, real=False)
    return float(metric.compute())


def main(folder: Path) -> None:
    rank = int(os.environ["RANK"])
    torch.distributed.init_process_group("gloo")
    images, others = torch.load(folder / "images.pt")
    mine = slice(0, SPLIT) if rank == 0 else slice(SPLIT, None)
    metrics = ImageMetrics(("mse", "mae", "psnr", "ssim"))
    metrics.update(images[mine], others[mine])
    found = {"all": metrics.compute(), "again": metrics.compute()}
    if rank == 1:  # more images for one process alone: the other must not answer from what it knew
        metrics.update(images[:2], others[:2])
    found["more"] = metrics.compute()
    metrics.reset()
    if rank == 1:
        metrics.update(images, others)
    found["one"] = metrics.compute()
    found["fid"] = fid_of(images[mine], others[mine])
    (folder / f"found-{rank}.json").write_text(json.dumps(found))
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
