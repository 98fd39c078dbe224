"""What every other room stands on: arrays, validation, random numbers, files and paths."""
