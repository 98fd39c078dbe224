"""``python -m exactdiffusion`` is the command ``exactdiffusion``."""

import sys

from .cli import main

sys.exit(main())
