"""The machine and the libraries under a run: how JAX is set up, and what a row says of it."""

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
    """Set device, precision and the persistent compilation cache, before anything is compiled.

    The cache is JAX's own; `JAX_COMPILATION_CACHE_DIR` puts it elsewhere. Returns the reason if
    the device is not there, else None.
    """
    if not jax.config.jax_compilation_cache_dir:
        place = Path(platformdirs.user_cache_dir("invmass")) / "xla"
        jax.config.update("jax_compilation_cache_dir", str(place))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    jax.config.update("jax_enable_x64", x64)
    gc.set_threshold(100_000, 50, 100)  # a traced program is millions of objects, few of them waste
    if device is None:
        return None
    try:
        jax.config.update("jax_default_device", jax.devices(device)[0])
    except RuntimeError:
        return f"no {device} here: JAX finds only {', '.join(map(str, jax.devices()))}"
    return None


def provenance(backend: Backend) -> dict[str, Any]:
    """Versions, machine, device and precision: what every row carries."""
    return {
        "device": _device(),
        "platform": default_device().platform,
        "devices": len(devices()),
        "dtype": "float64" if jax.config.jax_enable_x64 else "float32",
        **software(backend),
        **_machine(),
    }


def software(backend: Backend) -> dict[str, Any]:
    """Versions of the suite, of JAX and of what the backend needs; the commit, and Python."""
    return {
        "versions": _versions() | backend.versions(),
        "commit": _commit(),
        "python": sys.version.split()[0],
    }


def threads() -> str:
    """Cores that this process may use, and the settings that say how many threads."""
    names = ("XLA_FLAGS", "OMP_NUM_THREADS")
    return ", ".join(
        [f"{available_cores()} cores", *(f"{n}={os.environ[n]}" for n in names if os.getenv(n))]
    )


def load() -> float | None:
    """Processes that ran or waited during the last minute, on average; None if nobody counts."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def peak_memory(call: Callable[[], Any]) -> int | None:
    """Bytes that the process holds at most during a call on a CPU, with its libraries.

    None where the system does not tell, and on other devices, which remember all that was before.
    """
    if default_device().platform != "cpu":
        return None
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # forget the last peak
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
    """Commit of the checkout that the suite runs from; else of the one where it is called."""
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
