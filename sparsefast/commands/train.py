"""`sparsefast train`: one run, several of a sweep, or the rest of one."""

from __future__ import annotations

import argparse
import contextlib
import time
from pathlib import Path
from typing import Any

from sparsefast.commands.common import add_overrides, add_quiet, require_packages
from sparsefast.images.commands.common import say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `sparsefast train`."""
    add_overrides(
        parser, "model=, data=, train= and logger= choose, model.num_embeddings=256 and the like set; a=1,2 runs both"
    )
    parser.add_argument("--config", metavar="FILE", help="a YAML file of keys, such as the config.yaml of a run")
    parser.add_argument(
        "--resume",
        nargs="?",
        const="",
        metavar="RUN",
        help="go on with the run in this folder; without RUN: with the one that name= names, or begin it",
    )
    parser.add_argument("--dry-run", action="store_true", help="print the configuration and the plan; write nothing")
    add_quiet(parser)


def run(args: argparse.Namespace) -> int:
    """`sparsefast train`."""
    require_packages()
    from sparsefast.conf.compose import compose, expand

    if args.resume is not None and "=" in args.resume and not Path(args.resume).exists():
        args.overrides.append(args.resume)  # argparse took the next word for its value
        args.resume = ""
    if args.resume == "":
        return _resume_or_start(args)
    if args.resume is not None:
        return _resume(args)
    # All of a sweep before the first of it runs.
    runs = [(words, compose(words, args.config)) for words in expand(args.overrides)]
    if args.quiet:
        for _, config in runs:
            config.train.progress = False
    if args.dry_run:
        for _, config in runs:
            _dry_run(config)
        return 0
    if len(runs) > 1 and runs[0][1].name is not None:
        names = [config.name for _, config in runs]
        if len(set(names)) < len(names):
            raise ValueError(f"name={names[0]}: the runs of a sweep cannot share a folder; leave name out")
    for i, (words, config) in enumerate(runs, 1):
        if len(runs) > 1:
            print(f"run {i} of {len(runs)}: {' '.join(words)}", flush=True)
        if code := _start(config):
            return code
    return 0


def _resume_or_start(args: argparse.Namespace) -> int:
    from sparsefast.conf.compose import compose
    from sparsefast.training import group
    from sparsefast.training.run_folder import CONFIG

    config = compose(args.overrides, args.config)
    if config.name is None:
        raise ValueError("--resume without a folder needs name=, the run to go on with")
    config.train.progress &= not args.quiet
    folder = Path(config.out, config.name)
    with group.joined(group.device(config.train.accelerator)):
        # One process looks: it may be the one that makes the folder a moment later.
        begun = group.agreed((folder / CONFIG).exists())
        if not begun:
            return _start(config)
        args.resume, args.config = str(folder), None
        return _resume(args)


def _default_name(config: Any) -> str:
    return f"{config.model.name}-{config.data.name}-{time.strftime('%Y%m%d-%H%M%S')}"


def _start(config: Any) -> int:
    """Make the folder of a new run, and run it."""
    from sparsefast.conf.compose import to_yaml
    from sparsefast.training import group
    from sparsefast.training.run_folder import RunFolder, new_folder

    device = group.device(config.train.accelerator)
    _opened(config)  # what is wrong with it leaves no folder behind
    with group.joined(device):
        path = None
        if group.rank() == 0:
            folder = new_folder(config.out, config.name, _default_name(config))
            folder.write_config(to_yaml(config))
            path = str(folder.path)
        path = group.agreed(path)
        if config.train.devices > 1 and not group.is_group():
            return _launch(config, path)
        return _fit(config, RunFolder(path), None)


def _resume(args: argparse.Namespace) -> int:
    from sparsefast.conf.compose import compose, to_yaml
    from sparsefast.training import group
    from sparsefast.training.checkpoints import read_checkpoint
    from sparsefast.training.run_folder import CONFIG, RunFolder

    folder = RunFolder(args.resume)
    file = folder.path / CONFIG
    if not file.exists():
        raise ValueError(f"--resume {args.resume}: there is no {CONFIG}, so it is no run")
    if args.config is not None:
        raise ValueError("--config and --resume: a run that is resumed has its own config.yaml")
    config, kept = compose(args.overrides, file), compose([], file)
    for part in ("model", "data", "seed"):
        if getattr(config, part) != getattr(kept, part):
            word = next((word for word in args.overrides if word.startswith(part)), part)
            raise ValueError(f"{word}: of a run that is resumed only train.* and logger.* may change")
    if args.quiet:
        config.train.progress = False
    checkpoint = read_checkpoint(folder.checkpoint) if folder.checkpoint.exists() else None
    if checkpoint is not None and (found := checkpoint["sparsefast"]["config"]["model"]) != _plain(config.model):
        raise ValueError(
            f"{folder.checkpoint} is of another model ({found.get('name')}) than {file} ({config.model.name}), "
            "or of other keys of it"
        )
    if args.dry_run:
        _dry_run(config)
        return 0
    if config.train.devices > 1 and not group.is_group():
        return _launch(config, str(folder.path), args.overrides)
    with group.joined(group.device(config.train.accelerator)):
        if group.rank() == 0 and args.overrides:
            folder.write_config(to_yaml(config))
        return _fit(config, folder, checkpoint)


def _plain(config: Any) -> dict[str, Any]:
    import dataclasses

    return dataclasses.asdict(config)


def _launch(config: Any, folder: str, overrides: list[str] | None = None) -> int:
    from sparsefast.training.launch import launch

    quiet = [] if config.train.progress else ["--quiet"]
    return launch(config.train.devices, ["train", "--resume", folder, *quiet, *(overrides or [])])


def _opened(config: Any) -> Any:
    """The data, the task and the plan of a run, from its configuration."""
    from sparsefast.data.image_set import open_set
    from sparsefast.metrics.weights import find_weights
    from sparsefast.pipelines import make_task
    from sparsefast.training.fit import Data, plan
    from sparsefast.training.loggers import check_loggers

    check_loggers(config.logger)
    find_weights(config.train.weights)
    data = Data(config.data, open_set(config.data, "train"), open_set(config.data, "held-out"))
    task = make_task(config.model, data.train.image_shape, config.seed)
    steps = plan(config.train, config.data.batch_size, len(data.train))
    task.prepare(config.train, steps.total)
    return data, task, steps


def _fit(config: Any, folder: Any, checkpoint: Any) -> int:
    from sparsefast.conf.compose import to_plain
    from sparsefast.data.loader import worker_error
    from sparsefast.training import group
    from sparsefast.training.fit import fit
    from sparsefast.training.run_folder import append_summary

    data, task, steps = _opened(config)
    first = group.rank() == 0
    if first:
        if checkpoint is None:
            folder.write_versions(config.seed)
        at = checkpoint["global_step"] if checkpoint else 0
        folder.log(f"{'resumed' if checkpoint else 'started'} at step {at} of {steps.total}, {group.size()} processes")
        print(f"{folder.path}: {config.model.name} on {config.data.name}, step {at} of {steps.total}", flush=True)
        if at >= steps.total:
            print(f"nothing is left to do: train.max_epochs or train.max_steps beyond step {at} goes on", flush=True)
    if checkpoint is not None and checkpoint["global_step"] >= steps.total:
        return 0
    about = {"config": to_plain(config), "image_shape": list(data.train.image_shape)}
    try:
        found = fit(
            task,
            data,
            config.train,
            config.logger,
            folder,
            seed=config.seed,
            about=about,
            checkpoint=checkpoint,
        )
    except BaseException as error:
        told = worker_error(error) or error
        if first:
            # A disk that is full may be why it ended.
            with contextlib.suppress(OSError):
                folder.log(f"ended by {type(told).__name__}: {' '.join(str(told).split())}")
        if told is error:
            raise
        raise told from error
    if first:
        folder.log("finished")
        row = {
            "run": folder.path.name,
            "model": config.model.name,
            "data": config.data.name,
            "seed": config.seed,
            "step": steps.total,
            "finished": time.strftime("%Y-%m-%d %H:%M:%S"),
            **found,
        }
        append_summary(folder.path.parent, row)
        _say_rates(found, group.size(), folder.path)
    return 0


def _say_rates(found: dict[str, float], processes: int, path: Path) -> None:
    say(
        [
            (
                "images/s",
                f"{found['images_per_second']:.0f}, {100 * found['waiting_for_data']:.1f}% of the time for data",
            ),
            ("peak memory", f"{found['peak_memory_mib']:.0f} MiB a process, {processes} of them"),
            ("written", str(path)),
        ]
    )


def _dry_run(config: Any) -> None:
    from sparsefast.conf.compose import to_yaml

    data, task, steps = _opened(config)
    print(to_yaml(config), end="")
    weights = sum(p.numel() for p in task.parameters())
    say(
        [
            ("model", f"{config.model.name}, {weights:,} weights"),
            ("data", f"{config.data.name}, {len(data.train):,} images to train on, {len(data.held_out):,} held out"),
            ("steps", f"{steps.total:,}, {steps.steps_per_epoch:,} an epoch, a checkpoint every {steps.segment:,}"),
        ]
    )
