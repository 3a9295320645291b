"""How a network is trained: one validated, immutable description."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

OptimizerName = Literal["sgd", "adam", "adamw"]
ScheduleName = Literal["cosine", "step", "constant"]
Precision = Literal["auto", "float32", "bfloat16"]


class TrainingConfig(BaseModel):
    """Hyper-parameters of training; the descriptions are the command line's help."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    epochs: int = Field(
        12,
        ge=1,
        le=10**6,
        description="epochs of a whole training, which the schedule spans",
    )
    batch_size: int = Field(
        64, ge=1, description="images of an optimizer step, over all processes"
    )
    optimizer: OptimizerName = Field(
        "sgd", description="sgd (with Nesterov's momentum), adam or adamw"
    )
    learning_rate: float = Field(
        0.1, gt=0, description="learning rate at the start of the schedule"
    )
    momentum: float = Field(
        0.9, ge=0, lt=1, description="momentum of sgd, first beta of adam and adamw"
    )
    weight_decay: float = Field(
        5e-4, ge=0, description="weight decay of all parameters"
    )
    schedule: ScheduleName = Field(
        "cosine",
        description="learning rate: cosine to zero, a tenth after 1/2 and 3/4 of the "
        "epochs (step), or constant",
    )
    augment: bool = Field(
        False, description="train on randomly shifted and mirrored images"
    )
    precision: Precision = Field(
        "auto", description="float32, bfloat16 (autocast), or auto: what is faster here"
    )
    channels_last: bool = Field(
        True, description="store images channels last, which is faster"
    )
    compile: bool = Field(
        False, description="compile the network first, which takes a minute or so"
    )
    early_stopping: int | None = Field(
        None,
        ge=1,
        description="stop after so many epochs without better validation accuracy",
    )
    threads: int = Field(1, ge=1, description="threads of a process on the CPU")
    tensorboard: bool = Field(
        False, description="write scalars for TensorBoard beside the log"
    )
