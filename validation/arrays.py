"""Arrays of PEs that wait for no memory, for countings that know none."""

from __future__ import annotations

from hwmodel import Accelerator


def pe_array(**fields: str | int) -> Accelerator:
    """Describe an array by its mapping, PEs, skipping and barrier alone.

    Parameters
    ----------
    **fields
        Of the section ``array`` of a description.

    Examples
    --------
    >>> from validation.arrays import pe_array
    >>> pe_array(mapping="interleaved", pes=4, skip="dual", barrier="tile").array.size
    4
    """
    known = Accelerator.load("u-ticket").model_dump(exclude_unset=True)
    known["array"] = {"source": "the tool that it stands beside", **fields}
    return Accelerator.from_dict(known)
