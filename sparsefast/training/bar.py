"""What a run says while it runs: a bar on a terminal, and a line for each evaluation."""

from __future__ import annotations

import sys
from typing import Any

from lightning.pytorch import Callback

# What is shown, by its name in a line of metrics: a short name and how it is written.
_SHOWN = {
    "images_per_second": ("images/s", "{:.0f}"),
    "train/loss": ("loss", "{:.4g}"),
    "train/psnr": ("PSNR", "{:.2f}"),
}
_EVALUATED = {
    "val/loss": ("held-out loss", "{:.4g}"),
    "val/psnr": ("PSNR", "{:.2f} dB"),
    "val/ssim": ("SSIM", "{:.3f}"),
    "val/bits_per_pixel": ("bits/pixel", "{:.3f}"),
}


class Bar(Callback):
    """Steps done of all, with images/s, loss and PSNR; nothing of it where stderr is not a terminal.

    Parameters
    ----------
    total : int
        Steps of the run.
    shown : bool
        Whether there is to be a bar.
    """

    def __init__(self, total: int, shown: bool) -> None:
        self._total, self._shown = total, shown
        self._bar: Any = None

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        from tqdm import tqdm

        self._bar = tqdm(
            total=self._total,
            initial=trainer.global_step,
            unit="step",
            dynamic_ncols=True,
            # None: only on a terminal.
            disable=None if self._shown else True,
            leave=True,
        )

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if self._bar is not None and not self._bar.disable:
            self._bar.update(trainer.global_step - self._bar.n)

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        self.close()

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        self.close()

    def close(self) -> None:
        """Leave the bar as it is."""
        if self._bar is not None:
            self._bar.close()

    def show(self, line: dict[str, Any]) -> None:
        """A line of metrics."""
        evaluated = words(line, _EVALUATED)
        if evaluated:
            self._say(f"step {line['step']}  {'  '.join(evaluated)}")
        elif self._bar is not None and not self._bar.disable:
            self._bar.set_postfix_str(", ".join(words(line, _SHOWN)), refresh=False)

    def _say(self, text: str) -> None:
        if self._bar is not None and not self._bar.disable:
            self._bar.write(text, file=sys.stdout)
        else:
            print(text, flush=True)


def words(line: dict[str, Any], shown: dict[str, tuple[str, str]]) -> list[str]:
    """The numbers that are shown, of those that are there."""
    return [f"{name} {form.format(line[key])}" for key, (name, form) in shown.items() if key in line]
