"""Load a card's network with its weights: the one place where cards meet torch."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from segnet_live.card import Card
from segnet_live.errors import CardError, first_line
from segnet_live.nets.networks import NETWORKS
from segnet_live.nets.segnet import Network
from segnet_live.weights import load_weights


def network_class(card: Card) -> type[Network]:
    """Return the class of the card's network.

    Raises:
        CardError: the architecture is unknown.
    """
    if card.architecture not in NETWORKS:
        raise CardError(f"{card.folder}: unknown architecture {card.architecture!r}; known: {', '.join(NETWORKS)}")
    return NETWORKS[card.architecture]


def load_network(card: Card) -> Network:
    """Return the card's network, float32, on the CPU, in evaluation mode, with the card's class offsets in its bias.

    Raises:
        CardError: unknown architecture or arguments, damaged weights, or tensors that do not fit the network.
    """
    make = network_class(card)
    state = {name: torch.from_numpy(tensor) for name, tensor in load_weights(card).items()}
    try:
        with torch.device("meta"):  # takes no memory: a card may ask for a network that no machine could hold
            wanted = make(len(card.classes), **card.arguments).state_dict()
    except Exception as error:  # a card may hold anything
        raise CardError(
            f"{card.folder}: arguments {card.arguments} do not fit {card.architecture} ({first_line(error)})"
        ) from error
    _check_tensors(card, state, wanted)
    network = make(len(card.classes), **card.arguments)
    for name, tensor in network.state_dict().items():
        if name.endswith("num_batches_tracked"):
            state.setdefault(name, tensor)
    network.load_state_dict(state)
    if card.class_offsets:
        bias = network.get_parameter(network.logit_bias)
        offsets = torch.tensor(card.class_offsets)
        with torch.no_grad():
            bias.add_(offsets.repeat_interleave(len(bias) // len(offsets)))
    return network.eval()


def _check_tensors(card: Card, state: Mapping[str, torch.Tensor], wanted: Mapping[str, torch.Tensor]) -> None:
    """Check that the card's tensors are those of its network, by name and shape.

    Raises:
        CardError: one is missing, of another shape, or too many.
    """
    for name, tensor in wanted.items():
        if name not in state:
            if name.endswith("num_batches_tracked"):
                continue
            raise CardError(f"{card.weights_path} has no tensor {name}; it does not belong to {card.architecture}")
        if state[name].shape != tensor.shape:
            raise CardError(
                f"{card.weights_path}: {name} is {tuple(state[name].shape)}, {card.architecture} with "
                f"{len(card.classes)} classes needs {tuple(tensor.shape)}; card and weights do not belong together"
            )
    extra = sorted(set(state) - set(wanted))
    if extra:
        raise CardError(
            f"{card.weights_path} holds {extra[0]}, which {card.architecture} has not; wrong card or weights"
        )
