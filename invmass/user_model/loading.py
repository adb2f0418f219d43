"""A NumPyro model from a user's file: `path/to/file.py:name`."""

import importlib.util
import inspect
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from invmass.errors import UsageError
from invmass.user_model.numpyro_model import NumPyroModel
from invmass.user_model.numpyro_sites import NO_NUMPYRO


def load_numpyro_model(spec: str, prior: bool | None = None) -> NumPyroModel:
    """The model at `path/to/file.py:name`.

    Beside the function `name` the file may define `name_args` (a tuple), `name_kwargs` (a
    dictionary) and `name_truth` (a dictionary of constrained values; without it the mode is
    taken), or functions without arguments that return these.

    Args:
        spec: `path/to/file.py:name`.
        prior: whether the curvature of the prior is counted. None: only where the observations
            alone leave the information singular.

    Raises:
        UsageError: there is no such file or function, or they do not go together.
    """
    path, _, name = spec.rpartition(":") if not spec.endswith(".py") else (spec, "", "")
    if not name:
        raise UsageError(f"which function of {path} is the model? Say {path}:model")
    module = _run_file(Path(path))
    model = getattr(module, name, None)
    if not callable(model):
        functions = [
            key
            for key, value in vars(module).items()
            if inspect.isfunction(value) and value.__module__ == module.__name__
        ]
        raise UsageError(
            f"{path} defines no function {name!r}; its functions are: "
            f"{', '.join(functions) or 'none'}"
        )
    args = _beside(module, f"{name}_args", (tuple, list), ())
    kwargs = _beside(module, f"{name}_kwargs", (Mapping,), {})
    try:
        inspect.signature(model).bind(*args, **kwargs)
    except TypeError as error:
        raise UsageError(
            f"{name}{inspect.signature(model)} in {path}: {error}; define {name}_args (a tuple) "
            f"or {name}_kwargs (a dictionary) in that file"
        ) from error
    truth = _beside(module, f"{name}_truth", (Mapping,), "map")
    return NumPyroModel.from_arguments(model, truth, tuple(args), kwargs, prior)


def _run_file(path: Path) -> ModuleType:
    """The file as a module, with its own folder on the path as if it were run."""
    if not path.is_file():
        raise UsageError(f"there is no file {path}")
    specification = importlib.util.spec_from_file_location(f"invmass_user_{path.stem}", path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules[module.__name__] = module  # where its dataclasses look for it
    folder = str(path.resolve().parent)
    sys.path.insert(0, folder)
    try:
        specification.loader.exec_module(module)
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and error.name == "numpyro":
            raise UsageError(NO_NUMPYRO) from error
        raise UsageError(f"{path} cannot be run: {type(error).__name__}: {error}") from error
    finally:
        sys.path.remove(folder)
    return module


def _beside(module: ModuleType, name: str, kinds: tuple[type, ...], default: Any) -> Any:
    """What a file defines under a name, called if it is a function; else the default."""
    value = getattr(module, name, default)
    value = value() if inspect.isfunction(value) else value
    if value is not default and not isinstance(value, kinds):
        expected = " or ".join(kind.__name__.lower() for kind in kinds)
        raise UsageError(f"{name} must be a {expected}, not {type(value).__name__}")
    return value
