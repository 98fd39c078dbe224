"""What belongs to one paper only: one package per paper."""
