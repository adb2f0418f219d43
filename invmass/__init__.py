"""Is the inverse mass matrix that a sampler tuned the one that the posterior calls for?"""

from pathlib import Path

__version__ = "0.1.0"

_here = Path(__file__).parent
if not (_here / "cases").is_dir():  # a checkout: the other floors are our neighbours
    __path__.append(str(_here.parent))
