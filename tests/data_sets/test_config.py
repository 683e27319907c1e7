"""Every key of every config changes something, and a value that is not allowed is named."""

import dataclasses
import re
import subprocess
import sys
import typing

import pytest
import torch

from sparsefast.data.config import CONFIGS
from sparsefast.data.loader import open_loader
from tests.data_sets import made

# Another value of each key than the small configs have.
OTHER = {
    "size": 24,
    "channels": 1,
    "batch_size": 3,
    "eval_batch_size": 2,
    "eval_images": 2,
    "workers": 1,
    "epoch_images": 9,
    "crop": 100,
    "holdout": 5,
    "alpha": 1.0,
    "kinds": ["dead-leaves"],
}
KEYS = [(name, field.name) for name, kind in CONFIGS.items() for field in dataclasses.fields(kind)]


def seen(config):
    """All that a training process sees of a set."""
    found = []
    for split in ("train", "held-out"):
        loader = open_loader(config, split, run_seed=1)
        found.append((loader.num_workers, str(type(loader.multiprocessing_context))))
        found.extend(loader.batch_sampler)
        if loader.num_workers == 0:
            found.extend(tensor for batch in loader for tensor in batch.values())
    return found


def same(a, b):
    def equal(x, y):
        return torch.equal(x, y) if torch.is_tensor(x) else x.tolist() == y.tolist() if hasattr(x, "shape") else x == y

    return len(a) == len(b) and all(equal(x, y) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize(("name", "key"), KEYS)
def test_every_key_changes_something(config_of, tmp_path, monkeypatch, name, key):
    config = config_of(name)
    if key == "name":
        with pytest.raises(ValueError, match=rf"data.name='other' must be one of {name}"):
            open_loader(config_of(name, name="other"), "train", run_seed=1)
    elif key == "root":
        with pytest.raises(FileNotFoundError, match="nowhere"):
            open_loader(config_of(name, root="nowhere"), "train", run_seed=1)
    elif key == "download":
        # What it would do is tested without a network; here, that it is tried.
        utils = pytest.importorskip("torchvision.datasets.utils")
        monkeypatch.setattr(utils, "download_and_extract_archive", no_network)
        with pytest.raises(OSError, match="could not be fetched: there is no network"):
            open_loader(config_of(name, root=str(tmp_path), download=True), "train", run_seed=1)
    elif key == "variant":
        made.write_imagenette(tmp_path, "imagenette2-160", n=2)
        made.write_imagenette(tmp_path, "imagenette2-320", n=3)
        small, large = (config_of(name, root=str(tmp_path), variant=f"imagenette2-{side}") for side in (160, 320))
        assert not same(seen(small), seen(large))
    elif key == "cache_mb":
        kept = []
        for cache_mb in (0, 1):
            loader = open_loader(config_of(name, cache_mb=cache_mb), "train", run_seed=1)
            assert len(list(loader)) > 0
            kept.append(loader.dataset.image_set.pictures.size)
        assert kept[0] == 0 < kept[1]
    elif key == "start_method":
        assert not same(seen(config_of(name, workers=1)), seen(config_of(name, workers=1, start_method="spawn")))
    else:
        other = not getattr(config, key) if key == "flip" else OTHER[key]
        first = seen(config)
        assert same(first, seen(config_of(name)))
        assert not same(first, seen(config_of(name, **{key: other})))


def no_network(*_arguments, **_keywords):
    raise OSError("there is no network")


BAD = [
    ("photos", "size", 0, "must be at least 1"),
    ("photos", "channels", 2, "must be one of 1, 3"),
    ("photos", "batch_size", 0, "must be at least 1"),
    ("photos", "eval_batch_size", -1, "must be at least 1"),
    ("photos", "eval_images", -1, "must be at least 0"),
    ("photos", "workers", -1, "must be at least 0"),
    ("photos", "epoch_images", 0, "must be at least 1"),
    ("photos", "start_method", "thread", "must be one of fork, spawn"),
    ("cifar10", "root", "", "must be a folder"),
    ("celeba", "root", "", "must be a folder"),
    ("celeba", "crop", 179, "must be from 1 to 178"),
    ("imagenette2", "variant", "imagewoof", "must be one of imagenette2, imagenette2-320, imagenette2-160"),
    ("folder", "holdout", 1, "must be at least 2"),
    ("folder", "cache_mb", -1, "must be at least 0"),
    ("folder", "epoch_images", -1, "must be at least 0"),
    ("synthetic", "epoch_images", 0, "must be at least 1"),
    ("synthetic", "eval_images", 0, "must be at least 1"),
    ("synthetic", "kinds", [], "must be one or more of dead-leaves, gaussian-field, texture"),
    ("synthetic", "kinds", ["leaves"], "must be one or more of"),
    ("synthetic", "alpha", 4.5, "must be from 0 to 4"),
]


@pytest.mark.parametrize(("name", "key", "value", "allowed"), BAD)
def test_a_value_that_is_not_allowed_is_named(name, key, value, allowed):
    settings = {"root": "x"} if name == "folder" else {}
    shown = value if isinstance(value, int | float | list) else repr(value)
    with pytest.raises(ValueError, match="^" + re.escape(f"data.{key}={shown} {allowed}")):
        CONFIGS[name](**{**settings, key: value}).check()


@pytest.mark.parametrize("name", CONFIGS)
def test_configs_are_plain_and_their_defaults_are_allowed(name):
    config = CONFIGS[name]()
    assert config.name == name
    plain = {bool, int, float, str, list[str]}
    assert set(typing.get_type_hints(CONFIGS[name]).values()) <= plain
    dataclasses.replace(config, **({"root": "x"} if name == "folder" else {})).check()


def test_an_unknown_split_is_refused(config_of):
    with pytest.raises(ValueError, match=r"split='test' must be 'train' or 'held-out'"):
        open_loader(config_of("photos"), "test", run_seed=1)


def test_a_cap_takes_held_out_images_from_all_over_the_set(config_of):
    whole, some = (open_loader(config_of("photos", eval_images=n), "held-out", run_seed=1) for n in (0, 5))
    images = torch.cat([batch["image"] for batch in whole])
    n = len(images)
    expected = images[[i * n // 5 for i in range(5)]]
    assert torch.equal(torch.cat([batch["image"] for batch in some]), expected)
    more = open_loader(config_of("photos", eval_images=n + 1), "held-out", run_seed=1)
    assert torch.equal(torch.cat([batch["image"] for batch in more]), images)


def test_importing_the_configs_and_sets_loads_nothing_heavy():
    source = """
import sys, sparsefast.data as data
data.open_set(data.CONFIGS["synthetic"](size=8), "train")
print([name for name in ("torch", "torchvision", "PIL", "scipy", "numba") if name in sys.modules])
"""
    result = subprocess.run([sys.executable, "-c", source], text=True, capture_output=True, timeout=120, check=True)
    assert result.stdout.strip() == "[]"
