"""`python -m sparsefast.bench omp ...`: the same benchmark without the rest of the command line."""

from __future__ import annotations

import argparse
import sys

from sparsefast.bench import cli


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m sparsefast.bench", description="Measure us and the peers.")
    cli.add_arguments(parser)
    try:
        return cli.run(parser.parse_args(argv))
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
