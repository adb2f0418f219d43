"""Independent tasks, and what runs them: this process, others on this machine, or a Dask cluster.

All three are executors as `concurrent.futures` has them. A task is named by data that can be
pickled, and answers with rows; it is made of its seed alone, so that the rows are the same
wherever it runs. A process that dies with a task costs that task only.
"""

import faulthandler
import multiprocessing
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TimeElapsedColumn

from invmass.errors import UsageError
from invmass.results.rows import RowWriter
from invmass.runs.cores import pin_to_cores, pin_to_share

Task = TypeVar("Task")
Row = dict[str, Any]
Work = Callable[[Task], list[Row]]
Lost = Callable[[Task, str], list[Row]]

CONNECTION = 10.0  # seconds to reach a scheduler
# Tasks of a process: what JAX has compiled stays. After some ninety, at 4 GiB, XLA found no room
# for more code, and ended the process.
RENEWED = 32


@dataclass(frozen=True)
class Place:
    """Where tasks run, and how many are handed over at a time."""

    executor: Executor
    width: int


class InThisProcess(Executor):
    """Runs a task when it is submitted."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except (Exception, SystemExit) as error:
            future.set_exception(error)
        return future


class Processes(Executor):
    """Processes of this machine; one that dies, or takes too long, is replaced."""

    def __init__(self, count: int, limit: float) -> None:
        from pebble import ProcessPool

        spawn = multiprocessing.get_context("spawn")  # JAX's threads do not survive a fork
        self.limit = limit
        self.pool = ProcessPool(count, RENEWED, pin_to_share, [count], context=spawn)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        return self.pool.schedule(fn, args=args, kwargs=kwargs, timeout=self.limit)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self.pool.stop() if cancel_futures else self.pool.close()
        self.pool.join()


@contextmanager
def place(jobs: int | None, scheduler: str | None, limit: float) -> Iterator[Place]:
    """What `--jobs` and `--scheduler` ask for; this process if neither is given.

    Args:
        jobs: processes of this machine.
        scheduler: address of a Dask scheduler.
        limit: seconds for a task; not kept in this process.

    Raises:
        UsageError: both are given, Dask is not installed, or nobody answers at the address.
    """
    if jobs and scheduler:
        raise UsageError("--jobs starts processes here, --scheduler uses those there: give one")
    if scheduler:
        with _dask(scheduler, limit) as cluster:
            yield cluster
    elif jobs:
        processes = Processes(jobs, limit)
        try:
            with _leaving_when_terminated():
                yield Place(processes, 2 * jobs)
        except BaseException:
            processes.shutdown(cancel_futures=True)
            raise
        processes.shutdown()
    else:
        yield Place(InThisProcess(), 1)


@contextmanager
def _leaving_when_terminated() -> Iterator[None]:
    """Unwind at SIGTERM as at an interrupt: at once, it would leave processes at their tasks."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def run(
    tasks: Iterable[Task], work: Work[Task], place: Place
) -> Iterator[tuple[Task, list[Row] | str]]:
    """Every task with its rows, or the reason why it has none, as they are done.

    Raises:
        UsageError: a task found that it was asked for what cannot be.
    """
    waiting, running = iter(tasks), dict[Future[list[Row]], Task]()
    while True:
        for task in islice(waiting, place.width - len(running)):
            running[place.executor.submit(work, task)] = task
        if not running:
            return
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            task, error = running.pop(future), future.exception()
            if isinstance(error, UsageError):
                raise error
            yield task, future.result() if error is None else _reason(error)


def collect(
    tasks: Sequence[Task], work: Work[Task], lost: Lost[Task], place: Place, writer: RowWriter
) -> None:
    """Run all tasks and write their rows as they come; those of `lost` for a task without."""
    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        bar = progress.add_task("", total=len(tasks))
        for task, answer in run(tasks, work, place):
            writer.append(*(lost(task, answer) if isinstance(answer, str) else answer))
            progress.advance(bar)


def _reason(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "no answer within the limit (--time-limit)"
    if type(error).__name__ in ("ProcessExpired", "KilledWorker"):
        return f"its process was lost: {error}"
    return f"{type(error).__name__}: {error}"


@contextmanager
def _dask(address: str, limit: float) -> Iterator[Place]:
    try:
        from distributed import Client
    except ImportError as error:
        raise UsageError("--scheduler needs Dask: python -m pip install 'invmass[dask]'") from error
    try:
        client = Client(address, timeout=CONNECTION, set_as_default=False)
    except (OSError, ValueError) as error:
        raise UsageError(f"no Dask scheduler answers at {address}: {error}") from error
    with client:
        yield Place(_OnDask(client.get_executor(pure=False), limit), 10_000)


class _OnDask(Executor):
    """A cluster's own executor; on its workers tasks keep to the limit, and come one at a time."""

    def __init__(self, cluster: Executor, limit: float) -> None:
        self.cluster, self.limit = cluster, limit

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        return self.cluster.submit(_alone, self.limit, fn, *args, **kwargs)


_turn = threading.Lock()


def _alone(limit: float, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call `fn` while no other task runs in this process, which ends if the call takes too long.

    Precision is a setting of the whole process, so threads of one worker must not share it. The
    scheduler gives a task whose worker was lost to another worker; that it took too long is told
    by when it was first begun, which the scheduler keeps.
    """
    from distributed import get_client, get_worker

    with _turn:
        worker = get_worker()
        pin_to_cores(worker.state.nthreads)
        began = [worker.get_current_task(), "began"]
        client = get_client()
        if time.time() - client.get_metadata(began, default=time.time()) >= limit:
            raise TimeoutError
        client.set_metadata(began, time.time())
        faulthandler.dump_traceback_later(limit, exit=True)
        try:
            return fn(*args, **kwargs)
        finally:
            faulthandler.cancel_dump_traceback_later()
