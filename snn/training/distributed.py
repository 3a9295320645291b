"""One process or several under torchrun: what they tell each other."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal, TypeVar

import torch
import torch.distributed as dist
from torch import nn

from balancer.errors import BalancerError

Value = TypeVar("Value")

# The main process may solve integer programs while the others wait for its masks.
WAIT = timedelta(hours=2)


class ProcessesError(BalancerError):
    """Processes that cannot be started together."""


@dataclass(frozen=True, slots=True)
class Processes:
    """The processes that train one network together; by default one, on the CPU.

    Every process calls every method, in the same order. All results are the same in
    all of them.

    Attributes
    ----------
    rank : int
        Number of this process, from 0.
    size : int
        How many there are.
    device : str
        Where this process computes, as ``cpu`` or ``cuda:1``.
    """

    rank: int = 0
    size: int = 1
    device: str = "cpu"

    @classmethod
    @contextmanager
    def start(cls, device: Literal["cpu", "cuda"] | None = None) -> Iterator[Processes]:
        """Join the processes of torchrun; without it, be the only one.

        Parameters
        ----------
        device : {"cpu", "cuda"}, optional
            By default ``cuda`` where there is one. Under torchrun the processes of a
            machine take one GPU each, and talk by NCCL; on CPUs by Gloo.

        Raises
        ------
        ProcessesError
            Fewer GPUs than processes.
        """
        kind = device or ("cuda" if torch.cuda.is_available() else "cpu")
        size = int(os.environ.get("WORLD_SIZE", "1"))
        here = _local_device(kind)
        if size == 1:
            yield cls(device=here)
            return
        dist.init_process_group("nccl" if kind == "cuda" else "gloo", timeout=WAIT)
        try:
            yield cls(dist.get_rank(), size, here)
            # A module under DistributedDataParallel keeps Gloo's threads alive, and one
            # that still holds a tensor of the last exchange when the interpreter ends
            # aborts the process (torch 2.13). Waiting here makes that rare.
            dist.barrier()
        finally:
            dist.destroy_process_group()

    @classmethod
    def joined(cls, device: str) -> Processes:
        """Those of a process group that somebody else has started, or this one alone.

        Parameters
        ----------
        device : str
            Where this process computes.
        """
        if not (dist.is_available() and dist.is_initialized()):
            return cls(device=device)
        return cls(dist.get_rank(), dist.get_world_size(), device)

    @property
    def is_main(self) -> bool:
        """Whether this process is the one that decides, prints and writes files."""
        return self.rank == 0

    @property
    def part(self) -> slice:
        """Which images of every global batch are this process's: each `size`-th.

        However short a batch is, the parts differ by one image at most.
        """
        return slice(self.rank, None, self.size)

    def broadcast(self, value: Value) -> Value:
        """Give all processes what the main one holds; any object that can be pickled.

        Only what this program's own main process sends is unpickled.
        """
        if self.size == 1:
            return value
        box = [value if self.is_main else None]
        dist.broadcast_object_list(box, src=0, device=torch.device(self.device))
        return box[0]  # type: ignore[return-value]

    def synchronize(self, network: nn.Module) -> None:
        """Give all processes the main one's parameters and buffers."""
        if self.size > 1:
            with torch.no_grad():
                for tensor in (*network.parameters(), *network.buffers()):
                    dense = tensor.detach().contiguous()
                    dist.broadcast(dense, src=0)
                    tensor.copy_(dense)

    def sum(self, tensor: torch.Tensor) -> torch.Tensor:
        """Sum a tensor over the processes; not differentiable."""
        if self.size == 1:
            return tensor
        total = tensor.detach().clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace every gradient by its sum over the processes.

        That is the gradient of the global batch if every process divides the sum of
        its losses by the size of the global batch.
        """
        if self.size == 1:
            return
        gradients = [p.grad for p in parameters if p.grad is not None]
        sums = self.sum(torch.cat([gradient.flatten() for gradient in gradients]))
        parts = sums.split([gradient.numel() for gradient in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view(gradient.shape))

    def barrier(self) -> None:
        """Wait for all processes."""
        if self.size > 1:
            dist.barrier()


def _local_device(kind: str) -> str:
    if kind != "cuda":
        return kind
    rank, gpus = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
    if rank >= gpus:
        raise ProcessesError(
            f"process {rank} of this machine has no GPU: there are {gpus}; start at "
            f"most --nproc-per-node {gpus}, or train on the CPU"
        )
    torch.cuda.set_device(rank)
    return f"cuda:{rank}"
