"""Read a question about a drive, such as "Pedestrian > 2% for 1s and Road < 30%", and answer it from an index.

    question  = all {"or" all}
    all       = held {"and" held}
    held      = item ["for" time]
    item      = "not" item | "(" question ")" | "cut" | sum compare value
    sum       = name {"+" name}                    class names, confidence, flicker, motion, time
    compare   = ">" | ">=" | "<" | "<="
    value     = 2% | 0.02 | 1s | 500ms | 2min | 1:30

Nothing is evaluated by Python: a question is a small tree of the classes below.
"""

from __future__ import annotations

import difflib
import operator
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NoReturn, TypeAlias

import numpy as np
from numpy.typing import NDArray

from segnet_live.classes import ClassSet
from segnet_live.drives.index import DriveIndex
from segnet_live.errors import UsageError

EXAMPLE = '"Pedestrian > 2% for 1s and Road < 30%"'
FIGURES = ("confidence", "flicker", "motion")
"""Columns of an index besides the classes, 0..1."""
LONGEST = 500
DEEPEST = 20
_WORDS = ("and", "or", "not", "for", "cut", "time")
_COMPARE: dict[str, Callable[[NDArray[np.float64], float], NDArray[np.bool_]]] = {
    ">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le,
}  # fmt: skip
_UNITS_S = {"ms": 0.001, "s": 1.0, "sec": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
_TOKEN = re.compile(
    r"""\s*(?:
    (?P<clock>\d+(?::\d\d){1,2}(?:\.\d+)?) |
    (?P<number>\d+\.?\d*|\.\d+)(?:\s*(?P<unit>%|(?!(?i:for|and|or)\b)[^\W\d_]+\b))? |
    (?P<quoted>"[^"]*"|'[^']*') |
    (?P<name>[^\W\d][\w-]*) |
    (?P<sign>>=|<=|≥|≤|>|<|==?|\+|\(|\)|&&?|\|\|?)
    )""",
    re.VERBOSE,
)
_SAME = {"≥": ">=", "≤": "<=", "&": "and", "&&": "and", "|": "or", "||": "or"}

Answer: TypeAlias = NDArray[np.bool_]
"""(N,) whether a frame is meant."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """A sum of columns held against a value; "time" is in seconds from the first frame."""

    names: tuple[str, ...]
    sign: str
    value: float

    def values(self, index: DriveIndex) -> NDArray[np.float64]:
        """Return the (N,) sums."""
        return np.asarray(np.sum([_column(index, name) for name in self.names], axis=0), np.float64)

    def answer(self, index: DriveIndex) -> Answer:
        # NaN (no confidence is known) compares false: it is no answer to anything.
        # Rounded, as 3% is a little less in float32.
        return _COMPARE[self.sign](self.values(index).round(6), self.value)

    def comparisons(self) -> Iterator[Comparison]:
        yield self


@dataclass(frozen=True, slots=True)
class Cut:
    """The frames that begin a new scene."""

    def answer(self, index: DriveIndex) -> Answer:
        return index.cuts

    def comparisons(self) -> Iterator[Comparison]:
        return iter(())


@dataclass(frozen=True, slots=True)
class Not:
    """The frames that `part` does not mean."""

    part: Question

    def answer(self, index: DriveIndex) -> Answer:
        return ~self.part.answer(index)

    def comparisons(self) -> Iterator[Comparison]:
        yield from self.part.comparisons()


@dataclass(frozen=True, slots=True)
class Held:
    """The frames that `part` means for at least so many seconds without a break."""

    part: Question
    seconds: float

    def answer(self, index: DriveIndex) -> Answer:
        answer = np.zeros(len(index), np.bool_)
        for first, last in runs(self.part.answer(index)):
            if length_s(index, first, last) >= self.seconds - 1e-6:
                answer[first : last + 1] = True
        return answer

    def comparisons(self) -> Iterator[Comparison]:
        yield from self.part.comparisons()


@dataclass(frozen=True, slots=True)
class Both:
    """The frames that all `parts` mean, or any of them."""

    parts: tuple[Question, ...]
    every: bool

    def answer(self, index: DriveIndex) -> Answer:
        answers = [part.answer(index) for part in self.parts]
        return np.asarray(np.all(answers, axis=0) if self.every else np.any(answers, axis=0), np.bool_)

    def comparisons(self) -> Iterator[Comparison]:
        for part in self.parts:
            yield from part.comparisons()


Question: TypeAlias = Comparison | Cut | Not | Held | Both


def runs(answer: Answer) -> list[tuple[int, int]]:
    """Return (first, last) of each row of frames that are meant."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], answer, [False]]).astype(np.int8)))
    return [(int(first), int(end) - 1) for first, end in zip(edges[::2], edges[1::2], strict=True)]


def length_s(index: DriveIndex, first: int, last: int) -> float:
    """Return how long the frames `first` to `last` are shown."""
    end_s = index.pts_s[last + 1] if last + 1 < len(index) else index.end_s
    return float(min(end_s, index.pts_s[last] + 2 * index.interval_s) - index.pts_s[first])


def _column(index: DriveIndex, name: str) -> NDArray[np.float64]:
    if name == "time":
        return index.pts_s - index.start_s
    if name in FIGURES:
        return np.asarray(getattr(index, name), np.float64)
    return np.asarray(index.shares[:, index.classes.names.index(name)], np.float64)


def parse(text: str, classes: ClassSet) -> Question:
    """Return the question that `text` asks.

    Args:
        classes: whose names it may use, in any case.

    Raises:
        UsageError: it is no question; the line says where it stops being one.
    """
    return _Parser(text, classes).whole()


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    at: int
    unit: str = ""


class _Parser:
    """One pass through the words of a question, from left to right."""

    def __init__(self, text: str, classes: ClassSet) -> None:
        self._text, self._classes = text, classes
        if len(text) > LONGEST:
            raise UsageError(f"the question has {len(text)} characters, {LONGEST} are the most", "ask in parts")
        self._tokens = list(self._split())
        self._next = 0
        self._depth = 0

    def whole(self) -> Question:
        if not self._tokens:
            raise UsageError("the question is empty", f"ask such as {EXAMPLE}")
        question = self._any()
        token = self._peek()
        if token.kind != "end":
            self._fail(token, '"and", "or", "for" or the end')
        return question

    def _split(self) -> Iterator[_Token]:
        at, text = 0, self._text.rstrip()
        while at < len(text):
            match = _TOKEN.match(text, at)
            if match is None:
                place = at + len(text[at:]) - len(text[at:].lstrip())
                self._fail(_Token("sign", text[place], place), "a name, a number or a comparison")
            kind = match.lastgroup or ""
            kind = "number" if kind == "unit" else kind
            word = match[kind]
            found = _Token(kind, _SAME.get(word, word), match.start(kind), (match["unit"] or "").lower())
            if kind == "quoted":
                found = _Token("quoted", word[1:-1], found.at)
            elif found.text.lower() in _WORDS and kind in ("name", "sign"):
                found = _Token("word", found.text.lower(), found.at)
            yield found
            at = match.end()

    def _peek(self) -> _Token:
        return self._tokens[self._next] if self._next < len(self._tokens) else _Token("end", "", len(self._text))

    def _take(self, *texts: str) -> _Token | None:
        """Return the next word if it is one of `texts`, and go on behind it."""
        token = self._peek()
        if token.kind in ("word", "sign") and token.text in texts:
            self._next += 1
            return token
        return None

    def _any(self) -> Question:
        parts = [self._all()]
        while self._take("or"):
            parts.append(self._all())
        return parts[0] if len(parts) == 1 else Both(tuple(parts), every=False)

    def _all(self) -> Question:
        parts = [self._held()]
        while self._take("and"):
            parts.append(self._held())
        return parts[0] if len(parts) == 1 else Both(tuple(parts), every=True)

    def _held(self) -> Question:
        item = self._item()
        return Held(item, self._time()) if self._take("for") else item

    def _item(self) -> Question:
        self._depth += 1
        if self._depth > DEEPEST:
            raise UsageError(f"the question is nested more than {DEEPEST} deep", "ask in parts")
        item = Not(self._item()) if self._take("not") else self._single()
        self._depth -= 1
        return item

    def _single(self) -> Question:
        if self._take("("):
            question = self._any()
            if not self._take(")"):
                self._fail(self._peek(), '")"')
            return question
        if self._take("cut"):
            return Cut()
        names = [self._name()]
        while self._take("+"):
            names.append(self._name())
        token = self._peek()
        sign = self._take(*_COMPARE)
        if sign is None:
            self._fail(token, "> or < and a value" if token.text not in ("=", "==") else "> or <; no share is exact")
        if "time" in names:
            if len(names) > 1:
                self._fail(token, "time alone, as it is no share")
            return Comparison(("time",), sign.text, self._time())
        return Comparison(tuple(names), sign.text, self._share())

    def _name(self) -> str:
        token = self._peek()
        if token.kind == "word" and token.text == "time":
            self._next += 1
            return "time"
        if token.kind not in ("name", "quoted"):
            self._fail(token, "a class")
        self._next += 1
        known = {name.lower(): name for name in (*FIGURES, *self._classes.names)}
        if token.text.lower() not in known:
            near = difflib.get_close_matches(token.text.lower(), known, 1)
            meant = f"did you mean {known[near[0]]}? " if near else ""
            raise UsageError(
                f"{meant}{token.text!r} is no class of this model",
                f"it has {', '.join(self._classes.names)}; besides: {', '.join(FIGURES)}, time, cut",
            )
        return known[token.text.lower()]

    def _share(self) -> float:
        token = self._peek()
        if token.kind != "number":
            self._fail(token, "a share such as 2%")
        value = float(token.text)
        if token.unit not in ("", "%"):
            self._fail(token, f"a share such as {token.text}%")
        if token.unit == "" and value > 1:
            self._fail(token, f"a share: write {token.text}%, or 0 to 1 without %")
        if token.unit == "%" and value > 100:
            self._fail(token, "a share of 100% at most")
        self._next += 1
        return value / 100 if token.unit == "%" else value

    def _time(self) -> float:
        token = self._peek()
        if token.kind == "clock":
            self._next += 1
            seconds = 0.0
            for part in token.text.split(":"):
                seconds = seconds * 60 + float(part)
            return seconds
        if token.kind != "number" or token.unit not in _UNITS_S:
            self._fail(token, "a time such as 1s, 500ms, 2min or 1:30")
        self._next += 1
        return float(token.text) * _UNITS_S[token.unit]

    def _fail(self, token: _Token, wanted: str) -> NoReturn:
        got = repr(f"{token.text}{token.unit}") if token.kind != "end" else "the end"
        raise UsageError(
            f"the question {self._text!r} has {got} at character {token.at + 1}",
            f"expected {wanted}; ask such as {EXAMPLE}",
        )
