"""Work on threads: order, bounds, errors; and what is said when there is no Ray to work on."""

from __future__ import annotations

import os
import pickle
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wherefrom.errors import WherefromError
from wherefrom.parallel import SPAWNED, by_blocks, cores, in_order, lack, on


@settings(max_examples=60)
@given(st.lists(st.integers(0, 3), max_size=40), st.integers(1, 7))
def test_results_come_as_they_finish_instead_of_in_order(delays: list[int], workers: int) -> None:
    def late(item: tuple[int, int]) -> int:
        time.sleep(item[1] * 1e-4)
        return item[0]

    assert list(in_order(late, enumerate(delays), workers=workers)) == list(range(len(delays)))


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_the_whole_pool_is_read_ahead_of_a_slow_caller(workers: int) -> None:
    begun = 0

    def items() -> Iterator[int]:
        nonlocal begun
        while begun < 100:
            begun += 1
            yield begun

    ahead = [begun - taken for taken in in_order(abs, items(), workers=workers)]
    assert len(ahead) == 100
    assert max(ahead) <= 2 * workers - 1


def test_only_one_thread_works() -> None:
    together = threading.Barrier(3, timeout=20)  # broken unless three wait at the same time
    assert sorted(in_order(lambda _: together.wait(), range(3), workers=3)) == [0, 1, 2]


def test_one_worker_works_on_a_thread_of_its_own() -> None:
    names = set(in_order(lambda _: threading.current_thread().name, range(3), workers=1))
    assert names == {threading.current_thread().name}


@pytest.mark.parametrize("workers", [1, 3])
def test_an_error_is_lost_or_comes_out_of_turn(workers: int) -> None:
    def fragile(item: int) -> int:
        if item >= 4:
            raise WherefromError(f"part {item} is torn")
        return item

    taken = []
    with pytest.raises(WherefromError, match="part 4 is torn"):
        for result in in_order(fragile, range(50), workers=workers):
            taken.append(result)
    assert taken == [0, 1, 2, 3]


def test_work_goes_on_after_an_error() -> None:
    started = []

    def fragile(item: int) -> int:
        started.append(item)
        if item == 0:
            raise WherefromError("part 0 is torn")
        time.sleep(0.01)
        return item

    with pytest.raises(WherefromError):
        list(in_order(fragile, range(1000), workers=2))
    count = len(started)
    assert count <= 4
    time.sleep(0.05)
    assert len(started) == count  # the threads are gone when the error arrives


def test_an_error_of_the_items_leaves_threads_behind() -> None:
    def torn() -> Iterator[int]:
        yield 1
        raise WherefromError("the folder went away")

    before = threading.active_count()
    with pytest.raises(WherefromError, match="folder went away"):
        list(in_order(abs, torn(), workers=4))
    assert threading.active_count() == before


def test_a_caller_who_stops_early_leaves_threads_behind() -> None:
    before = threading.active_count()
    results = in_order(abs, range(1000), workers=4)
    assert next(results) == 0
    results.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before


@pytest.mark.parametrize("workers", [0, -2])
def test_no_workers_at_all_wait_for_ever(workers: int) -> None:
    with pytest.raises(ValueError, match="counts threads"):
        in_order(abs, [1], workers=workers)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system has no affinity")
def test_more_threads_than_the_process_may_use() -> None:
    code = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "from wherefrom.parallel import cores; print(cores())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "1"
    assert cores() == len(os.sched_getaffinity(0))


def test_ray_is_missing_and_a_traceback_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(WherefromError, match=r"pip install 'wherefrom\[cluster\]'"), on("auto"):
        in_order(abs, [1])


@pytest.mark.parametrize("address", ["127.0.0.1:{port}", "nowhere.invalid:6379", "127.0.0.1:ray"])
def test_an_address_where_nobody_listens_is_tried_for_a_minute(address: str) -> None:
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'wherefrom[cluster]'")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))  # bound but not listening: refused at once
        start = time.monotonic()
        named = on(address.format(port=free.getsockname()[1]))
        said = r"no Ray cluster answers at .*ray start --head"
        with pytest.raises(WherefromError, match=said), named:
            in_order(abs, [1])
    assert time.monotonic() - start < 15


def short_of_memory() -> NoReturn:
    raise MemoryError


def not_loaded() -> NoReturn:
    raise ImportError("libtorch_cpu.so: failed to map segment from shared object")


class Heavy:
    """What cannot be loaded where it is unpickled."""

    def __reduce__(self) -> tuple[Callable[[], NoReturn], tuple[()]]:
        return not_loaded, ()


def handed(what: object) -> None:
    """Take what a driver gives; `print` is another object where Ray has wrapped it."""


def spent_before() -> NoReturn:
    assert lack(MemoryError("amid an import"))
    raise ValueError("field 'target' is required for AnnAssign")


def defect() -> NoReturn:
    raise LookupError("a defect")


@pytest.mark.parametrize(
    ("target", "given", "said"),
    [
        (short_of_memory, (), ""),
        (handed, (Heavy(),), ""),
        (spent_before, (), ""),
        (defect, (), "LookupError: a defect"),
    ],
)
def test_a_process_short_of_memory_prints_a_traceback_beside_the_line_of_its_driver(
    target: Callable[..., Any], given: tuple[Any, ...], said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    process = SPAWNED.Process(target=target, args=given)
    process.start()
    process.join(60)
    assert process.exitcode == 1
    printed = capfd.readouterr().err
    assert said in printed
    assert bool(printed) == bool(said), printed


def test_a_process_cannot_be_given_what_belongs_to_its_driver() -> None:
    with pytest.raises(RuntimeError, match="should only be shared between processes"):
        pickle.dumps(SPAWNED.Queue())
    queue = SPAWNED.Queue()
    process = SPAWNED.Process(target=queue.put, args=("from there",))
    process.start()
    assert queue.get(timeout=60) == "from there"
    process.join(60)


def test_another_python_than_the_nodes_have_is_several_lines(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ray = pytest.importorskip("ray", reason="Ray is not installed")
    words = (  # as Ray 2.60 puts it
        "Version mismatch: The cluster was started with:\n    Ray: 2.60.0\n    Python: 3.12.9\n"
        "This process on node 10.0.0.1 was started with:\n    Ray: 2.60.0\n    Python: 3.11.7\n"
    )

    def init(**_: object) -> NoReturn:
        raise RuntimeError(words)

    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    with pytest.raises(WherefromError) as raised, on("auto"):
        in_order(abs, [1])
    assert "\n" not in str(raised.value)
    assert "Python: 3.12.9 This process on node 10.0.0.1 was started with" in str(raised.value)


def test_blocks_come_back_in_another_order_than_they_went() -> None:
    rows = np.arange(200_000)
    np.testing.assert_array_equal(by_blocks(np.negative, rows), -rows)
    assert by_blocks(np.negative, rows[:0]).shape == (0,)
