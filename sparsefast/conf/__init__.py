"""The configuration of a run: groups of YAML files in this folder, typed by dataclasses, composed by Hydra."""
