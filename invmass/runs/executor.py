"""Run independent tasks in this process, in other processes of this machine, or on Dask.

All three are executors in the sense of `concurrent.futures`. A task is described by data that can
be pickled, and its result is a list of rows. All its random numbers follow from its seed, so that
the rows do not depend on where it runs. If a process dies, only the task that it was running is
lost.
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

CONNECTION = 10.0  # timeout for connecting to a Dask scheduler, in seconds
# Number of tasks after which a process is replaced, because compiled programs stay in memory. After
# about ninety tasks, at 4 GiB, XLA could not allocate memory for code and ended the process.
RENEWED = 32


@dataclass(frozen=True)
class Place:
    """An executor, and the largest number of tasks that are submitted to it at a time."""

    executor: Executor
    width: int


class InThisProcess(Executor):
    """Runs each task in this process, as soon as it is submitted."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except (Exception, SystemExit) as error:
            future.set_exception(error)
        return future


class Processes(Executor):
    """Processes of this machine; a process that dies or exceeds the time limit is replaced.

    Args:
        count: number of processes.
        limit: time limit of a task, in seconds.
    """

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
    """The executor that `--jobs` or `--scheduler` asks for; this process if neither is given.

    Args:
        jobs: number of processes on this machine.
        scheduler: address of a Dask scheduler.
        limit: time limit of a task, in seconds; not enforced for tasks in this process.

    Raises:
        UsageError: both are given, Dask is not installed, or no scheduler answers.
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
    """Raise SystemExit at SIGTERM, so that the worker processes are stopped before this one."""
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
    """Run tasks, and yield each with its rows, or with an error message, when it is done.

    Args:
        tasks: descriptions of the tasks, which can be pickled.
        work: computes the rows of a task.
        place: the executor.

    Raises:
        UsageError: a task raised it.
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
    """Run all tasks and write their rows as they are done, with a progress bar.

    Args:
        tasks: descriptions of the tasks, which can be pickled.
        work: computes the rows of a task.
        lost: the rows of a task that failed, from the task and an error message.
        place: the executor.
        writer: where the rows are written.
    """
    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        bar = progress.add_task("", total=len(tasks))
        for task, answer in run(tasks, work, place):
            writer.append(*(lost(task, answer) if isinstance(answer, str) else answer))
            progress.advance(bar)


def _reason(error: BaseException) -> str:
    """The message for a task that raised an error or was lost."""
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
    """A Dask executor whose workers run one task at a time and enforce the time limit."""

    def __init__(self, cluster: Executor, limit: float) -> None:
        self.cluster, self.limit = cluster, limit

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        return self.cluster.submit(_alone, self.limit, fn, *args, **kwargs)


_one_task = threading.Lock()


def _alone(limit: float, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call `fn` while no other task runs in this process; exit if the time limit is exceeded.

    Tasks must not run in parallel threads, because JAX's precision is set for the whole process.
    After this process has exited, the scheduler gives the task to another worker. The time at which
    the task first started is therefore stored with the scheduler: if the limit has passed since
    then, the second worker raises TimeoutError.
    """
    from distributed import get_client, get_worker

    with _one_task:
        worker = get_worker()
        pin_to_cores(worker.state.nthreads)
        start_key = [worker.get_current_task(), "began"]
        client = get_client()
        if time.time() - client.get_metadata(start_key, default=time.time()) >= limit:
            raise TimeoutError
        client.set_metadata(start_key, time.time())
        faulthandler.dump_traceback_later(limit, exit=True)
        try:
            return fn(*args, **kwargs)
        finally:
            faulthandler.cancel_dump_traceback_later()
