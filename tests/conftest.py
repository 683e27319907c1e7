"""Set before any OpenMP runtime is loaded: its threads wait asleep, since several pools share the machine. And before
SciPy is: scikit-learn checks an estimator's answers to other arrays than NumPy's only where this says so."""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("GOMP_SPINCOUNT", "0")
os.environ.setdefault("SCIPY_ARRAY_API", "1")
