"""`python -m sparsefast`, the same as the `sparsefast` command."""

import sys

from sparsefast.cli import main

sys.exit(main())
