"""Situational awareness and 等级保护 self-check for one city, in one process tree."""

__version__ = "0.1.0"
