"""A meter says what the machine did during a call or since a row, and leaves nothing behind."""

from __future__ import annotations

import gc
import os
import socket
import threading
import time
from typing import TYPE_CHECKING, Any, Callable

import pytest

psutil = pytest.importorskip("psutil")

from xetrack.extras.system import Meter  # noqa: E402  # only where psutil is

if TYPE_CHECKING:
    from collections.abc import Iterator

MIB = 2**20
LEVELS = ["p_memory_percent", "memory_percent", "disk_percent"]
SYSTEM = ["cpu", *LEVELS]
NETWORK = ["bytes_sent", "bytes_recv"]

has_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


@pytest.fixture
def meter() -> Iterator[Meter]:
    meter = Meter(system=True, network=True, interval_s=0.02)
    yield meter
    meter.close()


def threads_since(before: list[threading.Thread]) -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread not in before]


def send(size_bytes: int) -> None:
    """Send so much to ourselves, over the loopback interface."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        sender = socket.create_connection(server.getsockname())
        receiver, _ = server.accept()
    with sender, receiver:
        sending = threading.Thread(target=sender.sendall, args=(bytes(size_bytes),))
        sending.start()
        left = size_bytes
        while left:
            left -= len(receiver.recv(MIB))
        sending.join()


def work(seconds: float) -> None:
    """Keep one CPU busy."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


def number(value: float | None) -> float:
    assert value is not None
    return value


# -- what is measured ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("system", "network", "keys"),
    [
        (True, False, SYSTEM),
        (False, True, NETWORK),
        (True, True, SYSTEM + NETWORK),
        (False, False, []),
    ],
    ids=["system", "network", "both", "nothing"],
)
def test_a_meter_gives_the_values_that_it_was_made_for(
    *, system: bool, network: bool, keys: list[str]
) -> None:
    meter = Meter(system=system, network=network, interval_s=1)
    with meter.during() as measured:
        pass
    assert list(measured) == keys
    assert list(meter.since_last()) == keys
    meter.close()


def test_levels_are_per_cent_as_psutil_says(meter: Meter) -> None:
    with meter.during() as measured:
        pass
    disk = psutil.disk_usage(os.curdir).percent
    assert measured["disk_percent"] == pytest.approx(disk, abs=1)
    assert measured["memory_percent"] == pytest.approx(psutil.virtual_memory().percent, abs=10)
    own = psutil.Process().memory_percent()
    assert measured["p_memory_percent"] == pytest.approx(own, rel=0.1)


def test_the_average_of_a_level_has_what_was_between_the_ends(meter: Meter) -> None:
    before = psutil.Process().memory_percent()
    with meter.during() as measured:
        block = b"x" * (256 * MIB)
        time.sleep(0.3)
        del block
    after = psutil.Process().memory_percent()
    all_of_it = 100 * 256 * MIB / psutil.virtual_memory().total
    assert number(measured["p_memory_percent"]) > max(before, after) + all_of_it / 2


def test_cpu_is_the_share_of_all_cpus_together(meter: Meter) -> None:
    with meter.during() as measured:
        work(0.5)
    assert 50 / psutil.cpu_count() < number(measured["cpu"]) <= 100


def test_cpu_of_a_call_too_short_to_measure_is_that_of_the_moments_before_it(
    meter: Meter,
) -> None:
    work(0.3)
    with meter.during() as measured:
        pass
    assert 25 / psutil.cpu_count() < number(measured["cpu"]) <= 100


def test_what_is_sent_in_a_call_is_counted_exactly_in_mib(meter: Meter) -> None:
    before = psutil.net_io_counters()
    with meter.during() as measured:
        send(8 * MIB)
    after = psutil.net_io_counters()
    sent = (after.bytes_sent - before.bytes_sent) / MIB
    received = (after.bytes_recv - before.bytes_recv) / MIB
    assert 8 <= number(measured["bytes_sent"]) <= sent
    assert 8 <= number(measured["bytes_recv"]) <= received


def test_a_block_is_measured_up_to_its_exception(meter: Meter) -> None:
    with pytest.raises(ZeroDivisionError), meter.during() as measured:  # noqa: PT012
        assert measured == {}
        send(MIB)
        raise ZeroDivisionError
    assert number(measured["bytes_sent"]) >= 1


def test_calls_that_overlap_each_count_their_own_time(meter: Meter) -> None:
    with meter.during() as outer:
        send(2 * MIB)
        with meter.during() as inner:
            send(2 * MIB)
        with meter.during() as last:
            pass
    assert number(outer["bytes_sent"]) >= 4
    assert number(outer["bytes_sent"]) >= number(inner["bytes_sent"]) + number(last["bytes_sent"])
    assert number(inner["bytes_sent"]) >= 2


def test_any_number_of_threads_share_a_meter(meter: Meter) -> None:
    made: list[dict[str, float | None]] = []

    def call() -> None:
        for _ in range(50):
            with meter.during() as measured:
                pass
            made.extend([measured, meter.since_last()])

    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [list(one) for one in made] == [SYSTEM + NETWORK] * 800
    assert [one for one in made if None in [one[name] for name in LEVELS + NETWORK]] == []


# -- since the last row --------------------------------------------------------------------------


def test_rows_together_have_all_that_was_sent(meter: Meter) -> None:
    before = psutil.net_io_counters().bytes_sent
    meter.since_last()
    total = 0.0
    for _ in range(4):
        send(2 * MIB)
        total += number(meter.since_last()["bytes_sent"])
    time.sleep(0.05)
    total += number(meter.since_last()["bytes_sent"])
    assert 8 <= total <= (psutil.net_io_counters().bytes_sent - before) / MIB + 0.001


def test_a_row_has_the_averages_of_the_time_since_the_last(meter: Meter) -> None:
    meter.since_last()
    block = b"x" * (256 * MIB)
    time.sleep(0.3)
    during = number(meter.since_last()["p_memory_percent"])
    del block
    time.sleep(0.3)
    after = number(meter.since_last()["p_memory_percent"])
    assert during - after > 50 * 256 * MIB / psutil.virtual_memory().total


def test_the_first_row_counts_from_the_making_of_the_meter() -> None:
    meter = Meter(system=False, network=True, interval_s=1)
    send(2 * MIB)
    time.sleep(0.05)
    assert number(meter.since_last()["bytes_sent"]) >= 2
    meter.close()


def test_rows_in_quick_succession_have_every_value(meter: Meter) -> None:
    time.sleep(0.15)
    rows = [meter.since_last() for _ in range(1000)]
    assert [row for row in rows if None in row.values()] == []
    assert {tuple(row) for row in rows} == {(*SYSTEM, *NETWORK)}


# -- the thread ----------------------------------------------------------------------------------


def test_a_meter_has_one_thread_however_many_calls() -> None:
    before = threading.enumerate()
    meter = Meter(system=True, network=True, interval_s=0.001)
    for _ in range(100):
        with meter.during():
            meter.since_last()
    assert [thread.daemon for thread in threads_since(before)] == [True]
    meter.close()


def test_what_needs_no_looks_in_between_has_no_thread() -> None:
    before = threading.enumerate()
    meter = Meter(system=False, network=True, interval_s=0.001)
    with meter.during():
        assert threads_since(before) == []
    meter.close()


def test_no_thread_is_left_after_close() -> None:
    before = threading.enumerate()
    meter = Meter(system=True, network=True, interval_s=1000)
    meter.close()
    assert threads_since(before) == []
    meter.close()


def test_a_block_that_ends_after_close_is_measured_and_starts_no_thread() -> None:
    before = threading.enumerate()
    meter = Meter(system=True, network=True, interval_s=0.001)
    with meter.during() as measured:
        meter.close()
    assert list(measured) == SYSTEM + NETWORK
    assert threads_since(before) == []


@pytest.mark.parametrize("use", [Meter.since_last, lambda meter: meter.during().__enter__()])
def test_a_meter_that_was_closed_can_be_used_again(use: Callable[[Meter], Any]) -> None:
    before = threading.enumerate()
    meter = Meter(system=True, network=True, interval_s=0.001)
    meter.close()
    kept = use(meter)
    assert len(threads_since(before)) == 1
    meter.close()
    assert threads_since(before) == []
    del kept


def test_a_meter_that_is_dropped_takes_its_thread_along() -> None:
    before = threading.enumerate()
    meter = Meter(system=True, network=True, interval_s=0.001)
    (thread,) = threads_since(before)
    with meter.during():
        time.sleep(0.05)
    del meter
    gc.collect()
    thread.join(60)
    assert not thread.is_alive()


def test_a_meter_in_a_cycle_takes_its_thread_along_too() -> None:
    before = threading.enumerate()
    cycle: dict[str, Any] = {"meter": Meter(system=True, network=True, interval_s=1000)}
    cycle["itself"] = cycle
    (thread,) = threads_since(before)
    del cycle
    gc.collect()
    thread.join(60)
    assert not thread.is_alive()


def test_a_process_ends_with_its_meter_open(run_python: Callable[..., str]) -> None:
    code = """
import atexit
from xetrack.extras.system import Meter
meter = Meter(system=True, network=True, interval_s=0.001)
atexit.register(lambda: print(sorted(meter.since_last())))
"""
    assert run_python(code) == f"{sorted(SYSTEM + NETWORK)}\n"


# -- forks ---------------------------------------------------------------------------------------

FORKING = """
import os, sys, threading, time, signal, warnings
from xetrack.extras.system import Meter
warnings.simplefilter("ignore", DeprecationWarning)
before = threading.enumerate()

def fork(work):
    sys.stdout.flush()
    pid = os.fork()
    if not pid:
        signal.alarm(30)
        code = 1
        try:
            work()
            sys.stdout.flush()
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(pid, 0)[1] == 0

def threads():
    return len(threading.enumerate()) - 1

meter = Meter(system=True, network=True, interval_s=0.001)
"""


@has_fork
def test_a_meter_has_its_thread_again_in_the_child_of_a_fork(
    run_python: Callable[..., str],
) -> None:
    code = """
def work():
    counts = [threads()]
    with meter.during() as measured:
        counts.append(threads())
        time.sleep(0.1)
    meter.close()
    print("child", [*counts, threads()], None in measured.values())

with meter.during() as measured:
    fork(work)
print("parent", threads(), None in measured.values())
meter.close()
print("closed", threads())
"""
    assert run_python(FORKING + code).splitlines() == [
        "child [0, 1, 0] False",
        "parent 1 False",
        "closed 0",
    ]


@has_fork
def test_the_memory_that_a_child_measures_is_its_own(run_python: Callable[..., str]) -> None:
    code = """
import psutil
def work():
    block = b"x" * (256 << 20)
    with meter.during() as measured:
        pass
    own = psutil.Process().memory_percent()
    print(abs(measured["p_memory_percent"] - own) < own / 2)

fork(work)
"""
    assert run_python(FORKING + code) == "True\n"


@has_fork
def test_forks_amid_measuring_leave_every_process_working(run_python: Callable[..., str]) -> None:
    code = """
going = True
def call():
    while going:
        with meter.during():
            meter.since_last()

others = [threading.Thread(target=call) for _ in range(3)]
for thread in others:
    thread.start()

def work():
    with meter.during() as measured:
        time.sleep(0.01)
    assert len(measured) == 6
    meter.since_last()
    meter.close()

for _ in range(30):
    fork(work)
going = False
for thread in others:
    thread.join()
meter.close()
print(threads())
"""
    assert run_python(FORKING + code) == "0\n"


# -- trouble -------------------------------------------------------------------------------------


def test_what_psutil_cannot_say_is_none(run_python: Callable[..., str]) -> None:
    pytest.importorskip("resource", reason="this system has no limits")
    code = """
import os, resource, time
from xetrack.extras.system import Meter
meter = Meter(system=True, network=True, interval_s=0.001)
limits = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (0, limits[1]))  # no file of /proc can be read
with meter.during() as measured:
    time.sleep(0.05)
assert {measured["cpu"], measured["bytes_sent"], measured["memory_percent"]} == {None}, measured
meter.since_last()
resource.setrlimit(resource.RLIMIT_NOFILE, limits)
with meter.during() as measured:
    time.sleep(0.2)
assert None not in measured.values(), measured
meter.close()
"""
    if not os.path.isdir("/proc/self"):
        pytest.skip("psutil reads no files here")
    run_python(code)


@pytest.mark.parametrize(
    "interval_s",
    [0, -1, 0.0009, float("nan"), float("inf"), True, "1", None],
    ids=repr,
)
def test_an_interval_that_makes_no_sense_is_refused(interval_s: Any) -> None:
    before = threading.enumerate()
    with pytest.raises(ValueError, match="seconds") as caught:
        Meter(system=True, network=True, interval_s=interval_s)
    assert str(caught.value) == (
        f"measurement_interval={interval_s!r} is no time between two looks; "
        "give seconds, 0.001 or more"
    )
    assert threads_since(before) == []


@pytest.mark.parametrize("interval_s", [0.001, 1, 1e300], ids=repr)
def test_any_other_interval_is_kept(interval_s: float) -> None:
    meter = Meter(system=True, network=False, interval_s=interval_s)
    with meter.during() as measured:
        pass
    assert list(measured) == SYSTEM
    meter.close()
