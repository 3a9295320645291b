"""The array in the words of the hardware model."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hwmodel import Accelerator, evaluate
from hwmodel.activity import Cycles
from hwmodel.sections import Barrier
from hwmodel.workload import LayerWorkload
from rtl.array_job import ArrayJob
from rtl.simulator import Skip

BARRIER_OVERHEAD_CYCLES = 1
"""The cycle in which the barrier opens."""


def array_description(pes: int, skip: Skip, barrier: Barrier) -> Accelerator:
    """Describe the array.

    It has an overhead of one cycle at each barrier, and no memories: loading and firing
    are apart (`ArrayRun.fill`, ``stall``, ``drain``). No energies are known.

    Parameters
    ----------
    pes : int
        PEs of the array.
    skip : str
        ``weight`` or ``dual``.
    barrier : str
        ``pixel``, ``timestep`` or ``tile``.
    """
    unknown = {"op_pj": 0.0, "source": "not known: the RTL has cycles and no energy"}
    return Accelerator.from_dict(
        {
            "name": "rtl",
            "description": "the array of rtl/src",
            "frequency_hz": 1.0,
            "array": {
                "mapping": "output_channel",
                "pes": pes,
                "skip": skip,
                "barrier": barrier,
                "barrier_overhead_cycles": BARRIER_OVERHEAD_CYCLES,
                "source": "rtl/src/pe_array.sv",
            },
            "bits": {
                "weight_bits": 8,
                "index_bits": 8,
                "pointer_bits": 8,
                "membrane_bits": 32,
                "source": "moves nothing, as there are no memories",
            },
            "weight_format": "csr",
            "membrane": "resident",
            "pe_units": {"accumulate": unknown, "mac": unknown},
        }
    )


def workload_of(job: ArrayJob) -> LayerWorkload:
    """Return the workload of a job: in schedule order, and with its input."""
    spikes = (np.asarray(job.inputs) != 0).astype(np.uint8)
    shape = job.layer.shape
    image = shape.image if len(shape.mask.shape) > 2 else shape.image[:1]
    return replace(
        shape,
        mask=shape.mask[job.layer.order],
        input_shape=image,
        timesteps=job.steps,
        spikes=spikes.reshape(len(spikes), 1, *image),
        spike_rate=None,
        batch=1,
        calls=1,
    )


def model_cycles(job: ArrayJob, skip: Skip) -> Cycles:
    """Ask the hardware model what a job takes.

    Parameters
    ----------
    job : ArrayJob
        The job.
    skip : str
        ``weight`` or ``dual``.
    """
    array = array_description(job.layer.streams.pes, skip, job.barrier)
    (layer,) = evaluate([workload_of(job)], array).layers
    return layer.activity.cycles
