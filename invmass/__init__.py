"""Is the inverse mass matrix that a sampler tuned the one that the posterior calls for?"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_here = Path(__file__).parent
if not (_here / "cases").is_dir():  # a checkout: the other floors are our neighbours
    __path__.append(str(_here.parent))

if TYPE_CHECKING:
    from invmass.cli.export import export
    from invmass.notebook import Answer, check, judge
    from invmass.results.rows import load_rows
    from invmass.user_model.numpyro_model import NumPyroModel

# Where each public name is defined. Imported when it is asked for: pytest imports this package in
# whatever session it is installed, and JAX must not be there before it is configured.
_PUBLIC = {
    "Answer": "invmass.notebook",
    "NumPyroModel": "invmass.user_model.numpyro_model",
    "check": "invmass.notebook",
    "export": "invmass.cli.export",
    "judge": "invmass.notebook",
    "load_rows": "invmass.results.rows",
}
__all__ = ["Answer", "NumPyroModel", "__version__", "check", "export", "judge", "load_rows"]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'invmass' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC})
