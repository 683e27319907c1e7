"""Set before any OpenMP runtime is loaded: its threads wait asleep, since several pools share the machine."""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("GOMP_SPINCOUNT", "0")
