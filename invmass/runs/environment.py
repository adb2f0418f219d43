"""JAX's configuration, and the columns of a row that describe machine and library versions."""

import gc
import importlib.metadata
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import jax
import platformdirs

from invmass.runs.cores import available_cores
from invmass.sampling.backend import Backend
from invmass.sampling.batching import default_device, devices


def configure_jax(device: str | None, x64: bool) -> str | None:
    """Set JAX's device, precision and persistent compilation cache.

    It must be called before anything is compiled. `JAX_COMPILATION_CACHE_DIR` sets the folder of
    the cache.

    Args:
        device: "cpu", "gpu" or "tpu"; None for the default device of JAX.
        x64: whether JAX computes in float64.

    Returns:
        An error message if JAX does not find the device, else None.
    """
    if not jax.config.jax_compilation_cache_dir:
        folder = Path(platformdirs.user_cache_dir("invmass")) / "xla"
        jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    jax.config.update("jax_enable_x64", x64)
    gc.set_threshold(100_000, 50, 100)  # tracing makes millions of objects, few are garbage
    if device is None:
        return None
    try:
        jax.config.update("jax_default_device", jax.devices(device)[0])
    except RuntimeError:
        return f"no {device} here: JAX finds only {', '.join(map(str, jax.devices()))}"
    return None


def provenance(backend: Backend) -> dict[str, Any]:
    """Versions, machine, device and precision: columns that every row has."""
    return {
        "device": _device(),
        "platform": default_device().platform,
        "devices": len(devices()),
        "dtype": "float64" if jax.config.jax_enable_x64 else "float32",
        **software(backend),
        **_machine(),
    }


def software(backend: Backend) -> dict[str, Any]:
    """Versions of the suite, JAX, the backend's libraries and Python, and the suite's commit."""
    return {
        "versions": _versions() | backend.versions(),
        "commit": _commit(),
        "python": sys.version.split()[0],
    }


def threads() -> str:
    """Number of usable cores, and the environment variables that set numbers of threads."""
    names = ("XLA_FLAGS", "OMP_NUM_THREADS")
    return ", ".join(
        [f"{available_cores()} cores", *(f"{n}={os.environ[n]}" for n in names if os.getenv(n))]
    )


def load() -> float | None:
    """Load average of the machine over the last minute; None if the system does not provide it."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def peak_memory(call: Callable[[], Any]) -> int | None:
    """Peak resident memory of this process during a call, in bytes, libraries included.

    Args:
        call: the call to be measured, on a CPU.

    Returns:
        None on systems other than Linux, and on other devices, whose peak cannot be reset.
    """
    if default_device().platform != "cpu":
        return None
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # reset the peak
    except OSError:
        return None
    call()
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    peak = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return 1024 * int(peak.split()[1])


def _device() -> str:
    device = default_device()
    return f"{device.platform}: {device.device_kind}"


@cache
def _versions() -> dict[str, str]:
    return {name: importlib.metadata.version(name) for name in ("invmass", "jax", "jaxlib")}


@cache
def _machine() -> dict[str, Any]:
    return {
        "machine": f"{platform.system()} {platform.machine()}, {_processor()}",
        "cores": available_cores(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or "unknown processor"
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown processor"


@cache
def _commit() -> str | None:
    """Git commit of the suite's checkout; if it is installed, that of the working directory."""
    here = Path(__file__).resolve().parents[2]
    if not (here / ".git").exists():
        here = Path.cwd()
    try:
        answer = subprocess.run(
            ["git", "-C", str(here), "describe", "--always", "--dirty"],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()
