"""Backends that break the contract, or the process that they run in."""

import ctypes
import os
import signal
import time
from pathlib import Path

import numpy as np

from faults.wrapped import Wrapped


class Raises(Wrapped):
    name = "raises"

    def tamper(self, matrix: np.ndarray) -> np.ndarray:
        raise RuntimeError("the library gave up")


class Exits(Wrapped):
    """Ends the process as if all were well."""

    name = "exits"

    def tamper(self, matrix: np.ndarray) -> np.ndarray:
        raise SystemExit(0)


class OutOfMemory(Wrapped):
    name = "out-of-memory"

    def tamper(self, matrix: np.ndarray) -> np.ndarray:
        return np.ones((len(matrix), 2**50))


class Hangs(Wrapped):
    name = "hangs"

    def tamper(self, matrix: np.ndarray) -> np.ndarray:
        time.sleep(3600)
        return matrix


class HangsInTheLibrary(Wrapped):
    """Never lets go of the interpreter."""

    name = "hangs-in-the-library"

    def tamper(self, matrix: np.ndarray) -> np.ndarray:
        ctypes.PyDLL(None).sleep(3600)
        return matrix


class Crashes(Wrapped):
    name = "crashes"

    def tamper(self, matrix: np.ndarray) -> np.ndarray:
        ctypes.string_at(0)
        return matrix


class Killed(Wrapped):
    """As the system does to the process that takes most memory."""

    name = "killed"

    def tamper(self, matrix: np.ndarray) -> np.ndarray:
        os.kill(os.getpid(), signal.SIGKILL)
        return matrix


class KilledOnce(Killed):
    """Leaves a file behind when it is killed, and is not killed again."""

    name = "killed-once"

    def tamper(self, matrix: np.ndarray) -> np.ndarray:
        left = Path(os.environ["INVMASS_KILLED_ONCE"])
        if left.exists():
            return matrix
        left.touch()
        return super().tamper(matrix)


class NotFinite(Wrapped):
    name = "not-finite"

    def tamper(self, matrix: np.ndarray) -> np.ndarray:
        matrix = matrix.copy()
        matrix[3] = np.nan
        return matrix


class WrongShape(Wrapped):
    name = "wrong-shape"

    def tamper(self, matrix: np.ndarray) -> np.ndarray:
        return matrix[..., :0]


class NotPositive(Wrapped):
    name = "not-positive"

    def tamper(self, matrix: np.ndarray) -> np.ndarray:
        return -matrix


class NotInstalled(Wrapped):
    name = "not-installed"
    requires = ("a-library-that-is-not-there",)
