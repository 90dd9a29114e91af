"""Any input at all, by a fixed seed: numbers, bytes and texts that are nearly right, by hypothesis."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from netvlad_core.errors import NetvladError

T = TypeVar("T")

# The same examples in every run; a few hundred take a second.
AS_ALWAYS = settings(
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=100,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

FLOATS = st.floats() | st.floats(-1e3, 1e3) | st.sampled_from([0.0, 1.0, 1e-7, 1e154, 1.7e308, 5e-324])
UINT32 = st.integers(0, 2**32 - 1) | st.integers(0, 700) | st.sampled_from([0, 1, 16, 640, 2**31, 2**32 - 1])
# Numbers as people, programs and vandals write them.
WRITTEN = (
    FLOATS.map(str)
    | st.integers(-(10**30), 10**30).map(str)
    | st.sampled_from(
        ["", "nan", "-inf", "1e999990", "9" * 5000, "0x" + "f" * 4000, "1_0", "1,5", "true", "~"]
    )
    | st.text(max_size=8)
)


def instead(usual: st.SearchStrategy[Any], odd: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Mostly what is usual, so that the other fields are looked at, too."""
    return st.one_of(usual, usual, usual, odd)


def vectors(names: str) -> st.SearchStrategy[Any]:
    """Objects with a number by each of these names."""
    return st.builds(SimpleNamespace, **dict.fromkeys(names, FLOATS))


@st.composite
def spoiled(draw: st.DrawFn, whole: st.SearchStrategy[bytes]) -> bytes:
    """A file with some bytes changed, cut out or put in."""
    data = bytearray(draw(whole))
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(data)))
        length = draw(st.integers(0, 40) | st.integers(0, len(data)))
        data[start : start + draw(st.sampled_from([0, length]))] = draw(st.binary(max_size=8))
    return bytes(data)


def value_or_sentence(
    kind: type[NetvladError], word: str, call: Callable[..., T], *arguments: Any
) -> T | None:
    """What a call returns, None for an error of this kind that has a sentence with the word in it."""
    try:
        return call(*arguments)
    except kind as error:
        if not str(error) or word not in str(error):
            raise
        return None
