"""Benchmarks that can be argued with: us and the peers in turns in one process, checked before they are timed."""
