"""The `sparsefast` command."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from typing import NoReturn

from sparsefast._version import __version__

# A command, the line that describes it, and the module with its add_arguments(parser) and run(args) -> exit code.
# Only the module of the command that is run gets imported.
_COMMANDS = {
    "info": ("what this installation and this machine offer", "sparsefast.environment"),
    "bench": ("measure an op beside other implementations", "sparsefast.bench.cli"),
    "demo": ("sparse-code and denoise a photograph, and show how well that does", "sparsefast.demo"),
    "train": ("train a model, or go on with a run", "sparsefast.commands.train"),
    "eval": ("measure a trained model on held-out pictures", "sparsefast.commands.evaluate"),
    "sample": ("make new pictures with a trained model", "sparsefast.commands.sample"),
    "reconstruct": ("put photographs through a trained model", "sparsefast.commands.reconstruct"),
    "plot": ("draw what a trained model has learned", "sparsefast.commands.plot"),
    "denoise": ("take the noise out of a photograph", "sparsefast.restore.commands.denoise"),
    "inpaint": ("fill in the missing pixels of a photograph", "sparsefast.restore.commands.inpaint"),
    "learn-dictionary": ("learn a dictionary of the patches of photographs", "sparsefast.patch_dictionaries.command"),
    "noise": ("add Gaussian noise to a photograph", "sparsefast.images.commands.noise"),
    "mask": ("make a mask for a photograph: which pixels are known", "sparsefast.images.commands.mask"),
    "compare": ("measure how much two pictures differ: PSNR, SSIM, MSE", "sparsefast.images.commands.compare"),
}


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        _complain(message)
        sys.exit(2)


def _complain(message: str) -> None:
    if sys.stderr is not None:  # as it is where it was closed
        sys.stderr.write(f"sparsefast: error: {' '.join(message.split())}\n")


def _parser(arguments: Sequence[str]) -> argparse.ArgumentParser:
    parser = _Parser(prog="sparsefast", description="Fast sparse coding.", allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"sparsefast {__version__}")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    commands = parser.add_subparsers(dest="command", metavar="command", required=True)
    chosen = next((word for word in arguments if not word.startswith("-")), None)
    for name, (words, home) in _COMMANDS.items():
        command = commands.add_parser(
            name, help=words, description=words[0].upper() + words[1:] + ".", allow_abbrev=False
        )
        # Accepted behind the command too, without a default that would undo the one in front of it.
        command.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
        if name == chosen:
            module = importlib.import_module(home)
            module.add_arguments(command)
            command.set_defaults(run=module.run)
    return parser


def _parsed(arguments: Sequence[str]) -> argparse.Namespace:
    parser = _parser(arguments)
    args, rest = parser.parse_known_args(arguments)
    if rest and (not hasattr(args, "overrides") or any(word.startswith("-") for word in rest)):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if rest:
        args.overrides += rest  # argparse takes words in front of the options or behind them, not both
    return args


def _message(error: BaseException) -> str:
    text = "; ".join(line.strip() for line in str(error.args[0] if isinstance(error, KeyError) else error).splitlines())
    # Our own errors, and the system's, are written for the reader; the type says what little there is to say of
    # another.
    ours = isinstance(error, (ValueError, TypeError, OSError, KeyError, RuntimeError, ImportError))
    return text if text and ours else f"{type(error).__name__}: {text} (--debug shows where)"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; the exit code is 0, 2 after an error, or 130 after Ctrl-C."""
    if argv is None:
        # The process is ours, and no OpenMP runtime is loaded yet. Threads that spin while they wait for the next small
        # piece of work take their core from the one that makes it: learn-dictionary takes half the time without.
        os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments
    try:
        args = _parsed(arguments)
        code = int(args.run(args))
        print(end="", flush=True)  # there is no sys.stdout where it was closed
        return code
    except KeyboardInterrupt:
        if debug:
            traceback.print_exc()
        return 130
    except BrokenPipeError:
        # The reader of our output has gone, as `head` does; Python would complain again when it closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if debug:
            traceback.print_exc()
        _complain(_message(error))
        return 2
