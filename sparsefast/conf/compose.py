"""From the words of a command line, and a file, to the configuration of a run.

Hydra's `compose` brings the groups, its grammar the values, OmegaConf the types. Files, sweeps and the texts of the
errors are ours: `compose` knows no `--config`, takes no `a=1,2` and names no nearest key.
"""

from __future__ import annotations

import dataclasses
import difflib
import importlib.resources
import itertools
import os
from collections.abc import Iterable, Sequence
from typing import Any

from hydra import compose as hydra_compose
from hydra import initialize_config_module
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from sparsefast.conf.run_config import GROUPS, ROOT_KEYS, RunConfig
from sparsefast.data.config import CONFIGS
from sparsefast.pipelines import MODELS, config_class
from sparsefast.training.config import LoggerConfig, TrainConfig


def choices(group: str) -> list[str]:
    """What a group can be: the names of its files."""
    folder = importlib.resources.files("sparsefast.conf") / group
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def _register() -> None:
    store = ConfigStore.instance()
    store.store(name="schema_root", node={"seed": 0, "out": "runs", "name": None})
    for name in MODELS:
        store.store(group="model", name=f"schema_{name}", node=config_class(name))
    for name, keys in CONFIGS.items():
        store.store(group="data", name=f"schema_{name}", node=keys)
    store.store(group="train", name="schema_default", node=TrainConfig)
    store.store(group="logger", name="schema_default", node=LoggerConfig)


def expand(words: Iterable[str]) -> list[list[str]]:
    """The runs that overrides stand for: of each list, `a=1,2`, one of its elements.

    Raises
    ------
    ValueError
        If a word is no override, naming it.
    """
    parsed = [_parse(word) for word in words]
    each = [list(override.sweep_string_iterator()) if override.is_sweep_override() else [None] for override in parsed]
    return [
        [
            override.input_line or "" if value is None else f"{override.key_or_group}={value}"
            for override, value in zip(parsed, run, strict=True)
        ]
        for run in itertools.product(*each)
    ]


def _parse(word: str) -> Override:
    try:
        override = OverridesParser.create().parse_override(word)
    except HydraException as error:
        text = str(error).splitlines()[0]
        raise ValueError(f"{word!r} is not key=value: {text}") from None
    if override.is_add() or override.is_delete() or override.package is not None:
        raise ValueError(f"{word!r}: keys are neither added nor taken away; write key=value")
    return override


def compose(
    words: Sequence[str], file: str | os.PathLike[str] | None = None, values: dict[str, Any] | None = None
) -> RunConfig:
    """The configuration that overrides, without lists of a sweep, and a file stand for.

    Groups are chosen first, on the command line or in the file; then come the file's values, then those of the command
    line. A group that the command line chooses takes nothing from the file.

    Parameters
    ----------
    words : key=value, each
    file : path of a YAML file, or None
    values : dict or None
        What a file would hold.

    Raises
    ------
    ValueError
        If a key or a choice is unknown, with the nearest one; or a value is of a wrong type or not allowed.
    OSError
        If the file cannot be read.
    """
    overrides = [_parse(word) for word in words]
    chosen = {o.key_or_group: str(o.value()) for o in overrides if o.key_or_group in GROUPS}
    keys = [(o.key_or_group, o.value(), o.input_line or "") for o in overrides if o.key_or_group not in GROUPS]
    given = dict(values or {}) if file is None else _read(file)
    where = "" if file is None else f"{file}: "
    filed: list[tuple[str, Any, str]] = []
    for group in GROUPS:
        part = given.pop(group, None)
        if part is None or group in chosen:
            continue
        part = {"name": part} if isinstance(part, str) else part
        if not isinstance(part, dict) or not isinstance(part.get("name", ""), str):
            raise ValueError(f"{where}{group} must be the name of a choice, or keys with their values")
        if "name" in part:
            chosen[group] = part["name"]
        filed += [(f"{group}.{key}", x, f"{where}{group}.{key}={x}") for key, x in part.items() if key != "name"]
    filed += [(key, x, f"{where}{key}={x}") for key, x in given.items()]
    config = _with_values(_composed(chosen), [*filed, *keys])
    parts: dict[str, Any] = {group: OmegaConf.to_object(config[group]) for group in GROUPS}
    found = RunConfig(**parts, **{key: config[key] for key in ROOT_KEYS})
    found.check()
    return found


def _read(file: str | os.PathLike[str]) -> dict[str, Any]:
    import yaml

    with open(file, "rb") as opened:
        raw = opened.read()
    try:
        found = OmegaConf.to_container(OmegaConf.create(raw.decode()), resolve=True)
    except (yaml.YAMLError, OmegaConfBaseException, UnicodeDecodeError, ValueError) as error:
        raise ValueError(f"{file} is not a YAML file of keys and values: {str(error).splitlines()[0]}") from None
    if not isinstance(found, dict):
        raise ValueError(f"{file} must hold keys and values, at the top model, data, train, logger, seed, out, name")
    return {str(key): value for key, value in found.items()}


def _composed(chosen: dict[str, str]) -> DictConfig:
    for group, name in chosen.items():
        known = choices(group)
        if name not in known:
            raise ValueError(
                f"{group}={name}: there is no such choice{_nearest(name, known)}; it can be {', '.join(known)}"
            )
    _register()
    # Of a program around us that uses Hydra itself: `initialize` would refuse to be the second.
    outer = dict(GlobalHydra.instance().__dict__)
    GlobalHydra.instance().clear()
    try:
        with initialize_config_module("sparsefast.conf", version_base="1.3"):
            return hydra_compose("config", [f"{group}={name}" for group, name in chosen.items()])
    finally:
        GlobalHydra.instance().__dict__.update(outer)


def _with_values(config: DictConfig, values: list[tuple[str, Any, str]]) -> DictConfig:
    known = list(_keys(config))
    for key, value, words in values:
        if key not in known:
            what = "is a group: choose with" if key in GROUPS else "there is no such key"
            raise ValueError(f"{words}: {what}{_nearest(key, known)}")
        try:
            OmegaConf.update(config, key, value)
        except OmegaConfBaseException as error:
            raise ValueError(f"{words}: {str(error).splitlines()[0]}") from None
    return config


def _keys(config: DictConfig) -> Iterable[str]:
    yield from ROOT_KEYS
    for group in GROUPS:
        # The name says which choice it is, and does not change it.
        yield from (f"{group}.{key}" for key in config[group] if key != "name")


def _nearest(word: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(word, known, 1, 0.5)
    if not near and "." not in word:
        near = [key for key in known if key.endswith(f".{word}")][:1]
    return f", did you mean {near[0]}?" if near else ""


def to_plain(config: RunConfig) -> dict[str, Any]:
    """The configuration as plain containers."""
    return dataclasses.asdict(config)


def to_yaml(config: RunConfig) -> str:
    """The configuration as the text of a file for `--config`."""
    return OmegaConf.to_yaml(OmegaConf.create(to_plain(config)))
