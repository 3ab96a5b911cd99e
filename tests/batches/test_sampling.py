from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from spine_ignite.batches.sampling import TrainingStream

SETTINGS = st.tuples(st.integers(1, 30), st.integers(1, 9), st.integers(1, 12), st.integers(0, 99))


@given(SETTINGS)
def test_each_pass_holds_every_item_once(settings: tuple[int, int, int, int]) -> None:
    items, batch, steps, seed = settings
    stream = TrainingStream(items, batch, steps, seed)
    drawn = [index for step in range(3 * items) for index in stream.batch(step)]
    for start in range(0, len(drawn) - items + 1, items):
        assert sorted(drawn[start : start + items]) == list(range(items))


@given(SETTINGS, st.integers(0, 40))
def test_a_stream_can_start_anywhere(settings: tuple[int, int, int, int], start: int) -> None:
    items, batch, steps, seed = settings
    whole = TrainingStream(items, batch, steps, seed)
    epochs = [list(whole) for _ in range(start // steps + 1)]
    assert all(len(epoch) == steps for epoch in epochs)
    late = TrainingStream(items, batch, steps, seed)
    late.start_at(start)
    assert len(late) == steps - start % steps
    assert list(late) == epochs[-1][start % steps :]
    assert [request.step for request in late] == list(range((start // steps + 1) * steps, (start // steps + 2) * steps))


@given(st.integers(0, 99), st.floats(0.05, 1.0))
def test_the_share_of_foreground_is_kept(seed: int, share: float) -> None:
    foreground = [3, 7, 11]
    stream = TrainingStream(40, 8, 10, seed, foreground, share)
    for step in range(20):
        assert sum(index in foreground for index in stream.batch(step)) >= share * 8


def test_passes_differ() -> None:
    stream = TrainingStream(50, 50, 1, 0)
    assert stream.batch(0) != stream.batch(1)


@given(st.integers(0, 99), st.integers(1, 8))
def test_only_missing_foreground_is_brought_in(seed: int, reserved: int) -> None:
    foreground = set(range(0, 40, 3))
    plain = TrainingStream(40, 8, 10, seed)
    stream = TrainingStream(40, 8, 10, seed, sorted(foreground), reserved / 8)
    for step in range(20):
        before, after = plain.batch(step), stream.batch(step)
        missing = max(0, reserved - sum(index in foreground for index in before))
        changed = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
        assert len(changed) == missing
        assert all(old not in foreground and new in foreground for old, new in changed)
