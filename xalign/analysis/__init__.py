"""Measurements on encoders."""
