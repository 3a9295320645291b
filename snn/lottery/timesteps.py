"""Time steps of a run: those of its data, of its network, or what was asked for."""

from __future__ import annotations

from torch import nn

from snn.data.image_data import ImageData
from snn.lottery.config import ConfigError, LotteryConfig
from snn.networks.calls import Calls


def check_frames(config: LotteryConfig, data: ImageData) -> None:
    """Refuse events of another number of frames than the time steps of the run.

    Fewer time steps than frames may be asked for; then the first are taken.

    Raises
    ------
    ConfigError
        Too few frames, or more than a number of time steps that nobody asked for.
    """
    frames, timesteps = data.timesteps, config.timesteps
    if frames is None or frames == timesteps:
        return
    if timesteps > frames or "timesteps" not in config.model_fields_set:
        raise ConfigError(
            f"{data.name}: the events have {frames} frames, but timesteps is "
            f"{timesteps}; set timesteps to {frames}"
            + ("" if timesteps > frames else ", or to fewer to take the first of them")
        )


def run_timesteps(
    config: LotteryConfig, network: nn.Module, data: ImageData, calls: Calls
) -> int:
    """Say how many time steps a network runs.

    Parameters
    ----------
    config : LotteryConfig
        Its `timesteps` are set in a network that has an attribute of that name.
    network : Module
        Any.
    data : ImageData
        Events have their own time steps; see `check_frames`.
    calls : Calls
        What the network did with one sample.

    Raises
    ------
    ConfigError
        Neurons that run a single time step, and more are asked for.
    """
    if hasattr(network, "timesteps") or data.events:
        return config.timesteps
    if calls.spiking and calls.timesteps == 1 and config.timesteps > 1:
        raise ConfigError(
            f"the neurons of {type(network).__name__} run one time step for an image, "
            f"but timesteps is {config.timesteps}; repeat the image in its forward "
            "(for `self.timesteps` steps, an attribute that is set here), or set "
            "timesteps to 1"
        )
    return calls.timesteps
