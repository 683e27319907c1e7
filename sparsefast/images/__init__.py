"""Photographs, in and out."""
