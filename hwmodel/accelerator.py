"""Accelerators as data: descriptions in YAML, validated, and the presets shipped.

>>> from hwmodel import Accelerator
>>> Accelerator.load("u-ticket").array.pes
16
"""

from __future__ import annotations

import warnings
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, ValidationError, model_validator

from balancer.maps.own_maps import ENDINGS, own_map
from balancer.text_files import parse_text, text_of_file
from hwmodel.errors import AcceleratorError, MixedNodesWarning
from hwmodel.sections import (
    BitWidths,
    Buffer,
    Buffers,
    Dram,
    PEArray,
    PEPower,
    PEUnits,
    Positive,
    Section,
    Source,
    Static,
)
from hwmodel.validation import explain

PRESETS = resources.files("hwmodel") / "presets"


class Accelerator(Section):
    """An accelerator, described by numbers with units and sources.

    Attributes
    ----------
    name, description : str
        What it is called and what it stands for.
    node_nm : float
        Technology node of the sections that state none; none if energies are relative.
    mixed_nodes_reason : str, optional
        Why numbers of several nodes may be added up. Without it such a description
        warns.
    energy_unit : str
        What the numbers that are written as pJ stand for, if not for pJ.
    frequency_hz : float
        Clock of the array; its source stands in `array`.
    array : PEArray
        The PEs and what they do in lock step.
    bits : BitWidths
        Widths of everything that is stored or moved.
    weight_format : str
        How sparse weights are stored: ``dense``; ``bitmap``, one bit per weight and
        the values kept; ``csr``, value and index of those kept and a pointer for each
        PE's stream of a group.
    membrane : str
        Where membrane potentials wait between time steps: ``resident`` in the PEs, in
        the ``output_buffer``, or in ``dram``.
    pe_units : PEUnits
        Energies inside a PE.
    buffers : Buffers
        On-chip buffers.
    dram : Dram, optional
        Off-chip memory.
    static : Static, optional
        Other static power.
    """

    name: str = Field(min_length=1)
    description: Source
    node_nm: Positive | None = None
    mixed_nodes_reason: Source | None = None
    energy_unit: Source = "pJ"
    frequency_hz: Positive
    array: PEArray
    bits: BitWidths
    weight_format: Literal["dense", "bitmap", "csr"]
    membrane: Literal["resident", "output_buffer", "dram"]
    pe_units: PEUnits
    buffers: Buffers = Buffers()
    dram: Dram | None = None
    static: Static | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Accelerator:
        if self.membrane == "output_buffer" and self.buffers.output is None:
            raise ValueError("membrane 'output_buffer' needs a section buffers.output")
        if self.membrane == "dram" and self.dram is None:
            raise ValueError("membrane 'dram' needs a section dram")
        return self

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Names of the presets shipped."""
        found = (Path(entry.name) for entry in PRESETS.iterdir())
        return tuple(sorted(path.stem for path in found if path.suffix == ".yaml"))

    @classmethod
    def load(cls, name_or_path: str | Path) -> Accelerator:
        """Read a preset or a description of your own.

        Parameters
        ----------
        name_or_path : str or Path
            One of `names`, or a YAML file.

        Raises
        ------
        AcceleratorError
            No such preset or file, no YAML, or a wrong or incomplete description; one
            line that names the fields, their units and the values allowed.

        Warns
        -----
        MixedNodesWarning
            Sections of different technology nodes and no `mixed_nodes_reason`.

        Examples
        --------
        >>> from hwmodel import Accelerator
        >>> Accelerator.load("loas").array.skip
        'dual'
        """
        given = str(name_or_path)
        if given in cls.names():
            text = (PRESETS / f"{given}.yaml").read_text(encoding="utf-8")
        else:
            try:
                text = text_of_file("YAML", Path(given), AcceleratorError)
            except AcceleratorError as error:
                raise AcceleratorError(
                    f"accelerator {given!r} is neither a preset "
                    f"({', '.join(cls.names())}) nor a readable YAML file: {error}"
                ) from None
        return cls.from_yaml(text, given, Path(given).parent)

    @classmethod
    def from_yaml(
        cls, text: str, origin: str = "description", folder: Path | None = None
    ) -> Accelerator:
        """Read a description; errors name `origin`. Raises and warns as `load`.

        A mapping's file is looked for in `folder`, by default in the working folder.
        """
        data = parse_text("YAML", text, AcceleratorError, about=origin)
        if not isinstance(data, dict):
            raise AcceleratorError(
                f"{origin}: a YAML mapping with the fields "
                f"{', '.join(cls.model_fields)} is needed, not {type(data).__name__}"
            )
        array = data.get("array")
        mapping = array.get("mapping") if isinstance(array, dict) else None
        if folder and isinstance(mapping, str) and mapping.endswith(ENDINGS):
            data["array"]["mapping"] = str(folder / mapping)
        return cls.from_dict(data, origin)

    @classmethod
    def from_dict(cls, data: dict[str, Any], origin: str = "dict") -> Accelerator:
        """Validate a description; errors name `origin`. Raises and warns as `load`."""
        try:
            made = cls.model_validate(data)
        except ValidationError as error:
            raise AcceleratorError(f"{origin}: {explain(error, cls)}") from None
        nodes = made.nodes()
        if len(set(nodes.values())) > 1 and made.mixed_nodes_reason is None:
            listed = ", ".join(f"{name} {nm:g} nm" for name, nm in nodes.items())
            warnings.warn(
                f"{origin}: numbers of different technology nodes are added up "
                f"({listed}); scale them to one node, or state `mixed_nodes_reason`",
                MixedNodesWarning,
                stacklevel=2,
            )
        return made

    def nodes(self) -> dict[str, float]:
        """Technology node of every section that has one, in nm; DRAM has its own."""
        sections: dict[str, PEPower | Buffer | Static | None] = {
            **{f"pe_units.{name}": unit for name, unit in self.pe_units},
            **{f"buffers.{name}": buffer for name, buffer in self.buffers},
            "static": self.static,
        }
        nodes = {name: part.node_nm for name, part in sections.items() if part}
        nodes["accelerator"] = self.node_nm
        return {name: node for name, node in nodes.items() if node is not None}

    def on_map(self, spec: str, pes: int) -> Accelerator:
        """Return the same accelerator with another PE map.

        Parameters
        ----------
        spec : str
            Text of a map, as `balancer.PEMap.parse` reads it.
        pes : int
            PEs, where `spec` does not say it.

        Raises
        ------
        AcceleratorError
            An n:m map, which prescribes masks and no array.
        BalancerError
            A map in formulas that cannot be read.

        Examples
        --------
        >>> from hwmodel import Accelerator
        >>> Accelerator.load("u-ticket").on_map("grid:4x8", pes=16).array.map_spec
        ('grid:4x8', 32)
        """
        own = own_map(spec)
        text = spec.strip().lower().replace("-", "_")
        name, _, size = text.partition(":")
        rows, _, cols = size.partition("x")
        mapped: dict[str, Any] = {"mapping": text, "pes": pes}
        if own is not None:
            mapped = {"mapping": own.text, "pes": own.pes or pes}
        elif name == "grid":
            mapped = {"mapping": name, "rows": rows, "cols": cols}
        array = self.array.model_dump(exclude={"rows", "cols", "pes"})
        changed = {"array": array | mapped}
        return self.from_dict(self.model_dump(exclude_unset=True) | changed, self.name)

    def to_yaml(self) -> str:
        """Write the description, for `load` to read again."""
        data = self.model_dump(exclude_none=True, exclude_unset=True)
        text: str = yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=88)
        return text
