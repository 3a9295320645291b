"""Which arrays of a file belong to which layer, and what each is to it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from balancer.errors import TicketError
from balancer.files.array_files import NUMBERS, ArrayFile

# Orders of output and of input channels, by the axis of the weights.
ORDER_ROLES = ("order", "input_order")

# What the last part of an array's name says about it; anything else is a weight.
_ROLES = {
    "weight": "weight",
    "weight_orig": "unpruned",
    "weight_mask": "mask",
    "mask": "mask",
    "score": "score",
    "order": "order",
    "input_order": "input_order",
    "carried": "carried",
    "rates": "rates",
    "magnitude": "magnitude",
}
# What lottery runs add to a layer, and what says nothing about its shape.
_HISTORY = ("carried", "rates", "magnitude")
_BESIDE = (*ORDER_ROLES, *_HISTORY)
# Factors that other tools keep beside the weights.
_FACTORS = ("weight_g", "weight_scale", "weight_scale_inv", "weight_zero_point")
# Parameters of transformers and others that are added, and multiply nothing.
_ADDED = (
    *("_token", "pos_embed", "pos_embedding", "position_embedding"),
    *("position_embeddings", "position_bias_table", "positional_encoding"),
)


class Role(NamedTuple):
    """What an array is to a layer."""

    layer: str
    role: str


@dataclass(frozen=True, slots=True)
class LayerRoles:
    """The layers of a file.

    Attributes
    ----------
    shapes : dict of str to tuple of int
        Shape of the weights of each layer, as it stands in the file.
    arrays : dict of str to dict
        Which array is a layer's ``weight``, ``mask``, ``score``, ….
    left_out : dict of str to str
        Arrays of two or more dimensions that belong to no layer, and what they are.
    clashes : dict of str to str
        Layers whose arrays have different shapes, and which.
    """

    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    arrays: dict[str, dict[str, str]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    clashes: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, file: ArrayFile) -> LayerRoles:
        """Find the layers among the arrays of a file.

        Raises
        ------
        TicketError
            Two arrays claim to be the same of one layer.
        """
        found, shapes, kinds = cls(), file.shapes(), file.kinds()
        others = _known_others(file)
        flat: dict[Role, tuple[int, ...]] = {}
        for key, shape in shapes.items():
            layer, role = _role_of(key, shapes, kinds[key])
            beside = role in _BESIDE
            if len(shape) > 1 and key in others:
                found.left_out[key] = others[key]
                continue
            if not beside and len(shape) < 2:
                flat[Role(layer, role)] = shape
                continue
            if not beside and 0 in shape:
                found.left_out[key] = "empty"
                continue
            if reason := _no_weights(key, role, kinds[key]):
                found.left_out[key] = reason
                continue
            roles = found.arrays.setdefault(layer, {})
            if role in roles:
                raise TicketError(
                    f"{roles[role]} and {key} both claim to be the {role} of layer "
                    f"{layer}; one of them is accepted: take the other out"
                )
            roles[role] = key
            if not beside:
                found._take_shape(Role(layer, role), shape)
        for one, shape in flat.items():
            if one.layer in found.shapes:
                found._take_shape(one, shape)
        found._leave_out_lone_masks()
        return found

    def _leave_out_lone_masks(self) -> None:
        """Take masks beside the weights of others for buffers, as in attention."""
        scored = {
            layer
            for layer, roles in self.arrays.items()
            if not {"weight", "unpruned", "score"}.isdisjoint(roles)
        }
        for layer in [*self.shapes] if scored else ():
            if layer not in scored:
                del self.shapes[layer]
                for key in self.arrays.pop(layer).values():
                    self.left_out[key] = "a mask without weights"

    def _take_shape(self, one: Role, shape: tuple[int, ...]) -> None:
        """Note the shape of an array of a layer; all of them must have the same."""
        known = self.shapes.setdefault(one.layer, shape)
        if shape != known:
            first = next(role for role in self.arrays[one.layer] if role not in _BESIDE)
            self.clashes[one.layer] = (
                f"its {one.role} has shape {shape}, its {first} {known}; weights, mask "
                "and score of a layer need the same"
            )


def _known_others(file: ArrayFile) -> Mapping[str, str]:
    """Read which arrays are no weights, of a file that says what its layers read."""
    others = file.metadata().get("no_weights")
    return others if isinstance(others, dict) else {}


def _role_of(key: str, shapes: Mapping[str, tuple[int, ...]], kind: str) -> Role:
    """Say what the name of an array makes it; a bare name is a weight."""
    stem, _, last = key.rpartition(".")
    role = _ROLES.get(last) if stem else None
    if role == "weight" and kind == "b":
        return Role(stem, "mask")
    return Role(stem, role) if role else _of_parameter(key, shapes)


def _of_parameter(key: str, shapes: Mapping[str, tuple[int, ...]]) -> Role:
    """Name the layer after its parameter, as `torch.nn.utils.prune` does.

    ``weight_ih_l0_orig`` with ``weight_ih_l0_mask`` are those of ``weight_ih_l0``.
    """
    for ending, role in (("_orig", "unpruned"), ("_mask", "mask")):
        parameter = key.removesuffix(ending)
        if parameter != key and any(_pairs(parameter, key, shapes)):
            return Role(parameter, role)
    return Role(key, "weight")


def _pairs(
    parameter: str, key: str, shapes: Mapping[str, tuple[int, ...]]
) -> Iterator[bool]:
    """Whether a mask or the unpruned weights of a parameter stand beside it."""
    if key == f"{parameter}_orig":
        yield f"{parameter}_mask" in shapes
    else:
        yield f"{parameter}_orig" in shapes
        yield shapes.get(parameter) == shapes[key]


def _no_weights(key: str, role: str, kind: str) -> str | None:
    """Say what an array is that takes no part; None for one that does."""
    last = key.replace("/", ".").rpartition(".")[2]
    if role in ("mask", "score", *_BESIDE):
        return None
    if last in _FACTORS:
        return "factors of weights"
    if key.endswith(".parametrizations.weight.original0"):
        return "factors of weights"
    if kind == "b":
        return "bool"
    if kind in "iu" and not _names_a_weight(last):
        return "integers"
    if last == "bias" or last.startswith("bias:"):
        return "a bias"
    if last.endswith(_ADDED):
        return "added to what comes in"
    return None if kind in (*NUMBERS, "V") else "no numbers"


def _names_a_weight(last: str) -> bool:
    """Whether integers under a name are quantized weights, and no table of indices."""
    name = last.removesuffix("_orig")
    return (
        name == "weight"
        or name.endswith("_weight")
        or name.startswith(("weight_ih_", "weight_hh_"))
    )
