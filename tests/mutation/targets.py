"""What is mutated, and which tests have to notice: the place to edit.

Paths are relative to the repository; globs take ``**``. A file belongs to the first
entry that matches it. Tests run in the order given and stop at the first that fails:
the cheap and telling ones come first.
"""

TARGETS: dict[str, tuple[str, ...]] = {
    # The retention program
    "balancer/program/{problem,floors,load_limits,validation,keys}.py": (
        "tests/balancer/test_problem.py",
        "tests/balancer/test_floors.py",
        "tests/balancer/test_ranking.py",
        "tests/balancer/test_solution.py",
        "tests/balancer/test_solving.py",
        "tests/balancer/test_network.py",
        "tests/balancer/test_solvers.py",
    ),
    "balancer/program/dual.py": (
        "tests/balancer/test_dual.py",
        "tests/balancer/test_slice_program.py",
        "tests/balancer/test_budgets.py",
    ),
    "balancer/program/*.py": (
        "tests/balancer/test_rounding.py",
        "tests/balancer/test_ranking.py",
        "tests/balancer/test_slice_program.py",
        "tests/balancer/test_layer_slices.py",
        "tests/balancer/test_slice_window.py",
        "tests/balancer/test_solution.py",
        "tests/balancer/test_solvers.py",
        "tests/balancer/test_budgets.py",
    ),
    # The solvers
    "balancer/{two_way/cycles,two_way/flow,solvers/min_cost_flow}.py": (
        "tests/balancer/test_assignment.py",
        "tests/balancer/test_cycles.py",
        "tests/balancer/test_two_way.py",
    ),
    "balancer/{solving,solvers/*}.py": (
        "tests/balancer/test_limits.py",
        "tests/balancer/test_or_tools.py",
        "tests/balancer/test_solution.py",
        "tests/balancer/test_solving.py",
        "tests/balancer/test_solvers.py",
        "tests/balancer/test_budgets.py",
    ),
    # The order of the channels
    "balancer/order/{blocks,block_search,block_stages}.py": (
        "tests/balancer/test_block_search.py",
        "tests/balancer/test_block_stages.py",
        "tests/balancer/test_order.py",
    ),
    "balancer/order/{load_table,tile_search,tile_bound,tile_program}.py": (
        "tests/balancer/test_load_table.py",
        "tests/balancer/test_tile_program.py",
        "tests/balancer/test_tile_bound.py",
        "tests/balancer/test_tile_search.py",
        "tests/balancer/test_order.py",
    ),
    "balancer/order/*.py": (
        "tests/balancer/test_assignment.py",
        "tests/balancer/test_clock.py",
        "tests/balancer/test_tile_program.py",
        "tests/balancer/test_block_search.py",
        "tests/balancer/test_tile_search.py",
        "tests/balancer/test_solving.py",
        "tests/balancer/test_order.py",
    ),
    # Maps of one's own
    "balancer/maps/{exchange,formulas,labels,own_maps}.py": (
        "tests/balancer/test_exchange.py",
        "tests/balancer/test_own_maps.py",
        "tests/balancer/test_pe_map.py",
        "tests/hwmodel/test_own_arrays.py",
    ),
    "hwmodel/{group_reach,list_schedule}.py": (
        "tests/hwmodel/test_list_schedule.py",
        "tests/hwmodel/test_own_arrays.py",
        "tests/hwmodel/test_counts.py",
        "tests/hwmodel/test_stepped.py",
    ),
    # Exports
    "balancer/export/*.py": (
        "tests/balancer/test_streams.py",
        "tests/balancer/test_export_scipy.py",
        "tests/test_export_cli.py",
    ),
    "hwmodel/export/*.py": (
        "tests/hwmodel/test_sanafe.py",
        "tests/hwmodel/test_sparseloop.py",
    ),
    # Cycles and energy
    "hwmodel/{counts,barriers,compute,latency,energy}.py": (
        "tests/hwmodel/test_counts.py",
        "tests/hwmodel/test_compute.py",
        "tests/hwmodel/test_latency.py",
        "tests/hwmodel/test_energy.py",
        "tests/hwmodel/test_energy_differences.py",
        "tests/hwmodel/test_evaluation.py",
        "tests/hwmodel/test_anchors.py",
        "tests/hwmodel/test_traffic.py",
        "tests/hwmodel/test_inputs.py",
        "tests/hwmodel/test_operations.py",
        "tests/hwmodel/test_workload.py",
        "tests/hwmodel/test_stepped.py",
    ),
}

# Constants that trade time for time or memory, or say how long a heuristic tries: with
# another value the answers are as right, so such mutants would be equivalent.
TUNING = {
    "BOUND_STEPS",
    "CHECKED",
    "CHUNK",
    "CHUNK_ENTRIES",
    "DEEPENING",
    "DEPTH_IN_LARGEST_LOADS",
    "DEPTH_IN_MEAN_LOADS",
    "HALVE_EVERY",
    "KICKED_BLOCKS",
    "KICKED_CHANNELS",
    "LEAST_DEPTH",
    "LEAST_GAIN",
    "LEAST_STEP",
    "MOST_SPLITS",
    "MOST_STEPS",
    "MOST_WEIGHTS",
    "MOVES",
    "NARROW",
    "PATIENCE",
    "PIECE_WEIGHTS",
    "POLL_SECONDS",
    "SAMPLE",
    "SLICES_WORTH_RANKING",
    "SWEEPS",
    "TEMPERATURE",
    "WIDENING",
    "WORTH_A_WINDOW",
}

# Imported once, before the processes of the mutants are forked.
PRELOADED = (
    "numpy",
    "ortools.sat.python.cp_model",
    "ortools.graph.python.min_cost_flow",
    "hypothesis.strategies",
    "hypothesis.extra.numpy",
    "pydantic",
    "yaml",
    "rich.table",
    "safetensors.numpy",
)
