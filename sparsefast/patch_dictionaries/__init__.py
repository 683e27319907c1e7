"""Dictionaries of image patches: learned from a folder of photographs, kept in files, looked at."""

from sparsefast.patch_dictionaries.patch_dictionary import PatchDictionary as PatchDictionary
from sparsefast.patch_dictionaries.sampling import sample_patches as sample_patches
from sparsefast.patch_dictionaries.sheet import atom_sheet as atom_sheet
