"""Foundations of every other room: arrays, validation, random numbers, files and paths."""
