"""Turns: the order in which threads get them, and that nothing keeps one for ever."""

import _thread
import os
import random
import signal
import threading
import time

import pytest

from backendkit.stores import NO_TURNS, Turns
from backendkit.stores._turns import PASSED
from tests.effort import effort

#: Seconds that no test waits for in full.
LONG = 30


class Clock:
    """Seconds that only pass when they are told to."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def turns(clock):
    """Turns whose slices end, and whose patience is over, when the clock says so."""
    return Turns(slice_=1, short=1, grace=0, patience=LONG, clock=clock)


def until(condition):
    """Wait until something is so."""
    deadline = time.monotonic() + LONG
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.0005)


class Watched(Turns):
    """Turns that count how often a thread looks whether it has one."""

    looks = 0

    def _begun(self, waiting):
        self.looks += 1
        return super()._begun(waiting)


class Thread(threading.Thread):
    """A thread that takes a turn, notes its name, and gives it up when it may."""

    def __init__(self, turns, name, noted):
        super().__init__(name=name, daemon=True)
        self._turns, self._noted = turns, noted
        self.may_give = threading.Event()
        self.start()

    def run(self):
        with self._turns:
            self._noted.append(self.name)
            self.may_give.wait(LONG)


def line_up(turns, names, noted):
    threads = []
    for number, name in enumerate(names, 1):
        threads.append(Thread(turns, name, noted))
        until(lambda number=number: turns.waiting() == number)
    return threads


def test_first_come_first_served(turns, clock):
    noted = []
    with turns:
        threads = line_up(turns, "abcd", noted)
        assert noted == []
        clock.now += 2
    for number, thread in enumerate(threads, 1):
        until(lambda number=number: len(noted) == number)
        clock.now += 2
        thread.may_give.set()
        thread.join(LONG)
    assert noted == list("abcd")
    assert not turns.waiting()


def test_a_pause_lets_others_have_their_turn_when_the_slice_is_over(turns, clock):
    noted = []
    with turns:
        (thread,) = line_up(turns, "a", noted)
        thread.may_give.set()
        turns.pause()
        assert turns.mine()
        assert noted == []
        clock.now += 2
        turns.pause()
        assert turns.mine()
        assert noted == ["a"]
    thread.join(LONG)


def test_a_turn_within_a_turn_is_the_same(turns, clock):
    noted = []
    with turns:
        with turns:
            (thread,) = line_up(turns, "a", noted)
            thread.may_give.set()
            clock.now += 2
            turns.pause()
            assert noted == ["a"]
            assert turns.mine()
        assert turns.mine()
    assert not turns.mine()
    thread.join(LONG)


def test_within_a_slice_a_thread_goes_on_before_those_who_wait(turns):
    noted = []
    with turns:
        (thread,) = line_up(turns, "a", noted)
        mutex = turns._mutex
        mutex.acquire()  # it can't look yet
    with turns:
        assert turns.mine()
    mutex.release()
    # Given up for good: it notices by itself.
    until(lambda: noted == ["a"])
    thread.may_give.set()
    thread.join(LONG)


def test_within_a_slice_a_turn_stays_free_for_who_gave_it_up(clock):
    """For so long that the next statement can take it; then it is for others."""
    turns = Watched(slice_=10, short=10, grace=1, patience=LONG, clock=clock)
    noted = []
    with turns:
        (thread,) = line_up(turns, "a", noted)
    for _ in range(5):
        # It looks again and again, and leaves it.
        looks = turns.looks
        until(lambda looks=looks: turns.looks > looks)
        with turns:
            assert turns.mine()
            assert noted == []
    clock.now += 1
    until(lambda: noted == ["a"])
    thread.may_give.set()
    thread.join(LONG)


def test_who_begins_goes_before_those_cut_off(turns, clock):
    """But each of them lets a few others by, no more."""
    noted = []
    cut = threading.Thread(target=cut_off, args=(turns, clock, noted), daemon=True)
    with turns:
        cut.start()
        until(lambda: turns.waiting() == 1)
        clock.now += 2
        turns.pause()  # until the other one pauses, which begins to wait
        assert turns.mine()
        until(lambda: turns.waiting() == 1)
        names = [f"b{number}" for number in range(PASSED + 2)]
        threads = []
        for number, name in enumerate(names, 2):
            threads.append(Thread(turns, name, noted))
            until(lambda number=number: turns.waiting() == number)
        clock.now += 2
    for thread in threads:
        clock.now += 2
        thread.may_give.set()
    for thread in threads:
        thread.join(LONG)
    cut.join(LONG)
    assert noted == [*names[:PASSED], "cut", *names[PASSED:]]


def cut_off(turns, clock, noted):
    """Take a turn that lasts for more than its slice."""
    with turns:
        clock.now += 2
        turns.pause()
        noted.append("cut")
        clock.now += 2


def test_what_is_gone_on_with_goes_before_nobody(turns, clock):
    noted = []
    cut = threading.Thread(target=cut_off, args=(turns, clock, noted), daemon=True)

    def go_on():
        turns.take(began=False)
        noted.append("gone on")
        clock.now += 2
        turns.give()

    other = threading.Thread(target=go_on, daemon=True)
    with turns:
        cut.start()
        until(lambda: turns.waiting() == 1)
        clock.now += 2
        turns.pause()
        until(lambda: turns.waiting() == 1)
        other.start()
        until(lambda: turns.waiting() == 2)
        clock.now += 2
    for thread in (cut, other):
        thread.join(LONG)
    assert noted == ["cut", "gone on"]


def test_a_short_statement_beside_long_ones_has_a_short_slice(clock):
    turns = Turns(slice_=10, short=1, grace=0, patience=LONG, clock=clock)
    turns.take()
    waiting = [turns._line_up(one, began=False) for one in (1, 2)]
    short = turns._line_up(3, began=True)
    assert [*turns._queue] == [short, *waiting]
    for one, slice_ in ((short, 1), (waiting[0], 10), (waiting[1], 10)):
        turns._hand_on()
        assert one.given
        assert turns._until - clock.now == slice_


def test_away_is_a_turn_for_others(turns):
    noted = []
    with turns:
        (thread,) = line_up(turns, "a", noted)
        with turns.away():
            assert not turns.mine()
            until(lambda: noted == ["a"])
            thread.may_give.set()
        assert turns.mine()
    with turns.away():
        assert not turns.mine()  # nor had it been
    assert not turns.mine()


def test_nothing_keeps_a_turn_for_ever():
    """What waits for another thread, in its turn, makes no deadlock."""
    turns = Turns(patience=0.01)
    done = threading.Event()

    def work():
        with turns:
            done.set()

    thread = threading.Thread(target=work, daemon=True)
    with turns, turns:
        thread.start()
        assert done.wait(LONG)
        thread.join(LONG)
        assert not turns.mine()
        turns.pause()  # it finds out, and lines up
        assert turns.mine()
    with turns:
        assert turns.mine()
    assert not turns.mine()


def test_an_overtaken_thread_gives_up_nothing(clock):
    turns = Turns(slice_=1, short=1, grace=0, patience=0.01, clock=clock)
    noted = []
    with turns:
        thread = Thread(turns, "a", noted)
        until(lambda: turns.waiting() == 1)
        clock.now += 2
        until(lambda: noted == ["a"])
    # The other one has it still.
    assert not turns.mine()
    late = Thread(turns, "b", noted)
    until(lambda: turns.waiting() == 1)
    assert noted == ["a"]
    for one in (thread, late):
        clock.now += 0.5
        one.may_give.set()
        one.join(LONG)
    assert noted == ["a", "b"]


def test_a_pause_without_a_turn_is_nothing(turns):
    noted = []
    turns.pause()
    thread = Thread(turns, "a", noted)
    until(lambda: noted == ["a"])
    (other,) = line_up(turns, "b", noted)
    turns.pause()
    assert not turns.mine()
    for one in (thread, other):
        one.may_give.set()
        one.join(LONG)


@pytest.fixture
def _interruptible():
    """A shell may have had SIGINT ignored, and then nothing interrupts a thread."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_interruptible")
def test_an_interrupted_thread_leaves_the_queue(clock):
    turns = Turns(slice_=1, short=1, grace=0, patience=0.01, clock=clock)
    noted = []
    thread = Thread(turns, "a", noted)
    until(lambda: noted == ["a"])

    def interrupt():
        until(lambda: turns.waiting() == 1)
        _thread.interrupt_main()

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        turns.take()
    assert not turns.waiting()
    thread.may_give.set()
    thread.join(LONG)
    with turns:
        assert turns.mine()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks here")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("mine", [False, True])
def test_the_turn_is_free_in_a_child(turns, mine):
    """Whoever had it, and whatever a thread was doing with it, in the parent."""
    noted = []
    thread = None
    if mine:
        turns.take()
    else:
        thread = Thread(turns, "a", noted)
        until(lambda: noted == ["a"])
    turns._mutex.acquire()
    pid = os.fork()
    if not pid:
        code = 1
        try:
            if mine:
                turns.give()
            with turns:
                code = int(not turns.mine())
        finally:
            os._exit(code)
    turns._mutex.release()
    assert os.waitpid(pid, 0)[1] == 0
    if thread is not None:
        thread.may_give.set()
        thread.join(LONG)
    else:
        assert turns.mine()
        turns.give()


def test_no_turns_are_for_everybody():
    with NO_TURNS, NO_TURNS.away():
        NO_TURNS.pause()
        done = threading.Event()
        thread = threading.Thread(target=lambda: (NO_TURNS.take(), done.set()))
        thread.start()
        assert done.wait(LONG)
        thread.join()


@pytest.mark.parametrize("seed", range(effort(test=3, check=10, soak=300)))
def test_one_at_a_time_whatever_they_do(seed):
    """Random turns, pauses and absences of six threads: none is lost, none meets."""
    turns = Turns(slice_=0.0002, short=0.0001, grace=0.0002, patience=LONG)
    inside, met, done = [], [], []

    def work(number):
        random_ = random.Random(f"{seed} {number}")
        for _ in range(60):
            with turns:
                for _ in range(random_.randrange(4)):
                    inside.append(number)
                    if len(set(inside)) > 1:
                        met.append(list(inside))
                    time.sleep(random_.choice([0, 0, 0.0001, 0.0004]))
                    inside.remove(number)
                    if random_.random() < 0.2:
                        with turns.away():
                            time.sleep(0)
                    elif random_.random() < 0.2:
                        with turns:
                            turns.pause()
                    else:
                        turns.pause()
        done.append(number)

    threads = [threading.Thread(target=work, args=(n,), daemon=True) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONG)
    assert sorted(done) == list(range(6))
    assert not met
    assert not turns.waiting()
