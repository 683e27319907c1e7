"""Plain float64 NumPy, written for reading: the definition that every other kernel is tested against."""
