"""Run two engines on the same frame, to compare two models, two runtimes or two precisions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from segnet_live.card import Card, find_card
from segnet_live.config import Backend, EngineSpec, Precision
from segnet_live.engine.base import Engine, EngineInfo, EngineOutput, run_engine
from segnet_live.engine.resize import network_size
from segnet_live.errors import EngineError, SegnetLiveError, UsageError, first_line
from segnet_live.frame import RGB, LabelMap, Size


@dataclass(frozen=True, slots=True)
class OtherEngine:
    """The second engine of a comparison, as it is to be opened."""

    card: Card
    backend: Backend = "auto"
    precision: Precision = "auto"


def other_engine(spec: EngineSpec, card: Card) -> OtherEngine:
    """Return what `spec` names, to be compared with a network of `card`.

    Raises:
        UsageError: there is no such model, or its classes are others. CardError: its card is damaged.
    """
    other = card if spec.model is None else find_card(spec.model)
    if other.classes.names != card.classes.names:
        raise UsageError(
            f"{card.name} has {len(card.classes)} classes, {other.name} has {len(other.classes)} others",
            "compare models of the same classes",
        )
    return OtherEngine(other, spec.backend, spec.precision)


class PairedEngine:
    """An engine whose label maps come with those of a second one, which labels the same frame after it.

    Everything but `EngineOutput.other` and `EngineInfo.other` is the first engine's. One thread, as for each of them.
    """

    def __init__(self, first: Engine, second: Engine) -> None:
        self._first, self._second = first, second

    @property
    def info(self) -> EngineInfo:
        return replace(self._first.info, other=self._second.info)

    @property
    def settled(self) -> bool:
        """Whether nothing better is still being prepared for either."""
        return all(getattr(engine, "settled", True) for engine in (self._first, self._second))

    def segment(self, rgb: RGB) -> LabelMap:
        return self._first.segment(rgb)

    def segment_with_confidence(self, rgb: RGB) -> EngineOutput:
        found = run_engine(self._first, rgb)
        try:
            return found._replace(other=self._second.segment(rgb))
        except Exception as error:  # third-party backends raise anything
            info = self._second.info
            what = f"{info.model} on {info.backend} {info.precision}, the second one of the comparison, stopped"
            raise EngineError(f"{what}: {first_line(error)}") from error

    def close(self) -> None:
        try:
            self._first.close()
        finally:
            self._second.close()


def open_pair(
    open_first: Callable[[Size | None], Engine],
    open_second: Callable[[Size | None], Engine],
    cards: tuple[Card, Card],
    source: Size,
    size: Size | None,
    *,
    fixed: bool,
) -> PairedEngine:
    """Open two engines, the second one at a size that suits its own model.

    Args:
        open_first, open_second: open an engine at a (height, width), None for the model's default.
        source: (height, width) of the frames.
        size: of the first one; smaller than its default where a governor wants it so, and the second follows.
        fixed: the user chose the size: it is the second one's, too.

    Raises:
        SegnetLiveError: one of them cannot be opened; neither is left open.
    """
    first = open_first(size)
    try:
        first_card, second_card = cards
        if size is not None and not fixed and first_card.pixels != second_card.pixels:
            size = network_size(source, round(size[0] * size[1] * second_card.pixels / first_card.pixels))
        return PairedEngine(first, open_second(size))
    except SegnetLiveError:
        first.close()
        raise
