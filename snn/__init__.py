"""Spiking networks in torch: what needs torch, and nothing that does not.

>>> from snn import LotteryConfig
>>> LotteryConfig(rounds=3, prune_rate=0.5).schedule_of_sparsity
(0.0, 0.5, 0.75, 0.875)

What is listed here is public and is loaded when it is asked for: torch takes seconds,
and may not be there.
"""

from typing import TYPE_CHECKING

from balancer.lazy import lazy_attributes

if TYPE_CHECKING:
    from snn.channels.apply_order import (
        AppliedOrders,
        LayerOrder,
        OrderError,
        apply_order,
    )
    from snn.data.image_data import DataError, ImageData, Split
    from snn.data.load import load_data
    from snn.export.folding import FoldedLayer, fold_normalization
    from snn.export.masked_network import MaskedNetwork
    from snn.export.nir_file import export_nir
    from snn.export.state_dict import export_state_dict
    from snn.export.torch_checkpoint import export_torch
    from snn.loop.compared_tickets import ComparedTickets
    from snn.loop.loop_config import LoopError
    from snn.loop.loop_ticket import LoopTicket
    from snn.loop.one_shot import BalancedMasks, balance_module
    from snn.loop.tickets import Tickets
    from snn.lottery.comparison import MethodComparison
    from snn.lottery.comparison_error import ComparisonError
    from snn.lottery.config import ConfigError, LotteryConfig, read_toml
    from snn.lottery.live_paths import NetworkPaths, live_weights
    from snn.lottery.merging import merge_comparisons, read_comparison
    from snn.lottery.methods import METHODS
    from snn.lottery.neighbours import neighbours
    from snn.lottery.network_scores import score_of
    from snn.lottery.pruning import Neighbours, Pruned, Pruning
    from snn.lottery.results import LayerOutcome, RoundOutcome
    from snn.lottery.run import LotteryResult, run_lottery
    from snn.lottery.run_comparison import RunProgress, compare_methods
    from snn.lottery.saliency import Score, Trained
    from snn.lottery.store import StoreError
    from snn.lottery.sweep_trainer import LotteryTrainer
    from snn.lottery.ticket_network import Standardization, load_network
    from snn.lottery.watcher import Watcher
    from snn.networks.axes import weight_axes
    from snn.networks.geometry import layer_geometry
    from snn.networks.layers import prunable_layers
    from snn.networks.models import ModelError, build_network
    from snn.networks.spikes import input_rates, record_spikes
    from snn.retraining.retrain import RetrainResult, retrain
    from snn.retraining.ticket_accuracy import TicketAccuracy
    from snn.training.config import TrainingConfig
    from snn.training.distributed import Processes
    from snn.training.gradients import GradientMoments, gradient_moments
    from snn.training.lasting_masks import LastingMasks
    from snn.training.masking import keep_masks
    from snn.training.trainer import Trainer

__all__ = [
    "METHODS",
    "AppliedOrders",
    "BalancedMasks",
    "ComparedTickets",
    "ComparisonError",
    "ConfigError",
    "DataError",
    "FoldedLayer",
    "GradientMoments",
    "ImageData",
    "LastingMasks",
    "LayerOrder",
    "LayerOutcome",
    "LoopError",
    "LoopTicket",
    "LotteryConfig",
    "LotteryResult",
    "LotteryTrainer",
    "MaskedNetwork",
    "MethodComparison",
    "ModelError",
    "Neighbours",
    "NetworkPaths",
    "OrderError",
    "Processes",
    "Pruned",
    "Pruning",
    "RetrainResult",
    "RoundOutcome",
    "RunProgress",
    "Score",
    "Split",
    "Standardization",
    "StoreError",
    "TicketAccuracy",
    "Tickets",
    "Trained",
    "Trainer",
    "TrainingConfig",
    "Watcher",
    "apply_order",
    "balance_module",
    "build_network",
    "compare_methods",
    "export_nir",
    "export_state_dict",
    "export_torch",
    "fold_normalization",
    "gradient_moments",
    "input_rates",
    "keep_masks",
    "layer_geometry",
    "live_weights",
    "load_data",
    "load_network",
    "merge_comparisons",
    "neighbours",
    "prunable_layers",
    "read_comparison",
    "read_toml",
    "record_spikes",
    "retrain",
    "run_lottery",
    "score_of",
    "weight_axes",
]

_HOMES = {
    "METHODS": "snn.lottery.methods",
    "AppliedOrders": "snn.channels.apply_order",
    "BalancedMasks": "snn.loop.one_shot",
    "ComparisonError": "snn.lottery.comparison_error",
    "ConfigError": "snn.lottery.config",
    "ComparedTickets": "snn.loop.compared_tickets",
    "DataError": "snn.data.image_data",
    "FoldedLayer": "snn.export.folding",
    "GradientMoments": "snn.training.gradients",
    "ImageData": "snn.data.image_data",
    "LayerOrder": "snn.channels.apply_order",
    "LayerOutcome": "snn.lottery.results",
    "LastingMasks": "snn.training.lasting_masks",
    "LoopError": "snn.loop.loop_config",
    "LoopTicket": "snn.loop.loop_ticket",
    "LotteryConfig": "snn.lottery.config",
    "LotteryResult": "snn.lottery.run",
    "LotteryTrainer": "snn.lottery.sweep_trainer",
    "MaskedNetwork": "snn.export.masked_network",
    "MethodComparison": "snn.lottery.comparison",
    "ModelError": "snn.networks.models",
    "Neighbours": "snn.lottery.pruning",
    "NetworkPaths": "snn.lottery.live_paths",
    "OrderError": "snn.channels.apply_order",
    "Processes": "snn.training.distributed",
    "Pruned": "snn.lottery.pruning",
    "Pruning": "snn.lottery.pruning",
    "RetrainResult": "snn.retraining.retrain",
    "RoundOutcome": "snn.lottery.results",
    "RunProgress": "snn.lottery.run_comparison",
    "Score": "snn.lottery.saliency",
    "Split": "snn.data.image_data",
    "Standardization": "snn.lottery.ticket_network",
    "StoreError": "snn.lottery.store",
    "TicketAccuracy": "snn.retraining.ticket_accuracy",
    "Tickets": "snn.loop.tickets",
    "Trained": "snn.lottery.saliency",
    "Trainer": "snn.training.trainer",
    "TrainingConfig": "snn.training.config",
    "Watcher": "snn.lottery.watcher",
    "apply_order": "snn.channels.apply_order",
    "balance_module": "snn.loop.one_shot",
    "build_network": "snn.networks.models",
    "compare_methods": "snn.lottery.run_comparison",
    "export_nir": "snn.export.nir_file",
    "export_state_dict": "snn.export.state_dict",
    "export_torch": "snn.export.torch_checkpoint",
    "fold_normalization": "snn.export.folding",
    "gradient_moments": "snn.training.gradients",
    "input_rates": "snn.networks.spikes",
    "keep_masks": "snn.training.masking",
    "layer_geometry": "snn.networks.geometry",
    "live_weights": "snn.lottery.live_paths",
    "load_data": "snn.data.load",
    "load_network": "snn.lottery.ticket_network",
    "merge_comparisons": "snn.lottery.merging",
    "neighbours": "snn.lottery.neighbours",
    "prunable_layers": "snn.networks.layers",
    "read_comparison": "snn.lottery.merging",
    "read_toml": "snn.lottery.config",
    "record_spikes": "snn.networks.spikes",
    "retrain": "snn.retraining.retrain",
    "run_lottery": "snn.lottery.run",
    "score_of": "snn.lottery.network_scores",
    "weight_axes": "snn.networks.axes",
}
__getattr__, __dir__ = lazy_attributes(__name__, _HOMES)
