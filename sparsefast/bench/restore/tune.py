"""`python -m sparsefast.bench.restore.tune`: the mean PSNR of peers on the train crops, by their settings."""

from __future__ import annotations

import sys

from sparsefast.bench.restore import denoisers, report
from sparsefast.bench.restore.crops import crops
from sparsefast.bench.restore.measure import rows

SIGMA = 25.0


def main() -> None:
    """Print a line for each setting: means over coloured crops, and over grey ones."""
    chosen = crops(split="train")
    print(*report.crop_lines(chosen), f"sigma {SIGMA:g}", sep="\n")
    factors = [0.3, 0.4, 0.5, 0.6, 0.7, 0.8]
    settings = [{"patch_size": p, "patch_distance": d, "h": h} for p in (5, 7) for d in (6, 11) for h in factors]
    candidates = [denoisers.nlm({3: s, 1: s}) for s in settings]
    candidates += [denoisers.tv({3: w, 1: w}) for w in (0.6, 0.8, 1.0, 1.2, 1.5)]
    for who in candidates:
        found = list(rows("denoise", SIGMA, [who], chosen))
        means = {words: report.mean(row.psnr for row in part) for words, part in report.groups(found, chosen).items()}
        print(who.name, who.words, *(f"{words} {value:.2f} dB" for words, value in means.items()))
        sys.stdout.flush()


if __name__ == "__main__":
    main()
