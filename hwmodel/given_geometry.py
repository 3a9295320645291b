"""The geometry of a network as its user gives it, in YAML or as a mapping.

    input_shape: [3, 32, 32]     # channels, height, width of what the first layer sees
    layers:                      # by name, or a pattern of names; the last one counts
      features.*: {padding: 1}
      features.3: {padding: 1, stride: 2}
      features.6: {padding: 1, pool: 2}      # 2 x 2 windows behind the layer
      shortcut: {input_shape: [64, 16, 16], padding: 0}    # not what comes before it

What is not given: stride and dilation 1, as much padding as keeps the size under an odd
kernel, no pooling, groups as the channels tell.
"""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import Field, ValidationError

from balancer.text_files import read_text_file
from hwmodel.errors import WorkloadError
from hwmodel.sections import Section, Whole, WholeOrZero
from hwmodel.validation import explain

# One number, or one along the height and one along the width.
Sizes = Whole | tuple[Whole, Whole]
SizesOrZero = WholeOrZero | tuple[WholeOrZero, WholeOrZero]
Given = TypeVar("Given", bound=Section)
InputShape = Annotated[tuple[Whole, ...], Field(min_length=1, max_length=3)]


class GivenLayer(Section):
    """What is given of one layer.

    Attributes
    ----------
    input_shape : tuple of int, optional
        Default: what the layer before it leaves.
    stride, dilation : int or pair of int
        Of the convolution.
    padding : int or pair of int, optional
        Default: what keeps the size under an odd kernel and stride 1.
    groups : int, optional
        Default: the channels of the input by those of the weights.
    pool : int or pair of int
        Windows behind the layer, side by side.
    """

    input_shape: InputShape | None = None
    stride: Sizes = 1
    padding: SizesOrZero | None = None
    dilation: Sizes = 1
    groups: Whole | None = None
    pool: Sizes = 1


class GivenGeometry(Section):
    """What is given of a network.

    Attributes
    ----------
    input_shape : tuple of int, optional
        (channels, height, width), (channels, length) or (features,) of what the first
        layer sees.
    layers : dict of str to GivenLayer
        By name or pattern. If every layer is named in full, they run in this order.
    """

    input_shape: InputShape | None = None
    layers: dict[str, GivenLayer] = Field(default_factory=dict)

    @classmethod
    def of(cls, given: Mapping[str, Any] | str | Path | None) -> GivenGeometry:
        """Validate a mapping, or what a YAML file holds.

        Raises
        ------
        WorkloadError
            A file that cannot be read, unknown fields, or values not accepted.
        """
        origin = "geometry"
        if isinstance(given, (str, Path)):
            origin = str(given)
            given = _read(Path(given))
        if given is not None and not isinstance(given, Mapping):
            raise WorkloadError(
                f"{origin}: a mapping with the fields {', '.join(cls.model_fields)} is "
                f"needed, not {type(given).__name__}"
            )
        fields = dict(given or {})
        layers = fields.pop("layers", None) or {}
        if not isinstance(layers, Mapping):
            raise WorkloadError(
                f"{origin}: `layers` is {layers!r}; it needs names of layers, and what "
                "is given of each"
            )
        made = {
            str(name): _validated(GivenLayer, one or {}, f"{origin}: layer {name!r}")
            for name, one in layers.items()
        }
        return _validated(cls, fields, origin).model_copy(update={"layers": made})

    def of_layer(self, name: str) -> GivenLayer:
        """Look a layer up: by its name, or else by the last pattern that fits it."""
        if name in self.layers:
            return self.layers[name]
        fitting = [one for one in self.layers if fnmatchcase(name, one)]
        return self.layers[fitting[-1]] if fitting else GivenLayer()


def _validated(model: type[Given], fields: Any, origin: str) -> Given:
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        raise WorkloadError(f"{origin}: {explain(error, model)}") from None


def _read(path: Path) -> Any:
    return read_text_file("YAML", path, WorkloadError, "a geometry is a YAML file")
