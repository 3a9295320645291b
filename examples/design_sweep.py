"""Which array for the shipped ticket? 32 designs, their front, a table and a figure."""

from importlib.util import find_spec

from hwmodel import sweep

result = sweep(
    pes=[8, 16],
    map=["output_channel", "interleaved"],
    sparsity=[0.9, 0.98],
    accelerator="generic-45nm",
    description={"dram.bandwidth_bits_per_cycle": [16, 64]},
    grid=[{"method": "lth"}, {"method": "optimal"}],
    out="designs",
)
print(result)
for row in result.front("cycles"):
    print(
        f"{row['pes']:>2} PEs, {row['map']}, {row['method']} at {row['sparsity']}, "
        f"{row['description.dram.bandwidth_bits_per_cycle']} bits per cycle: "
        f"{row['kept_share']:.1%} of the magnitude in {row['cycles_drawn']:,} cycles"
    )
starved = [row for row in result.done if row["memory_bound"]]
print(f"{len(starved)} designs have layers that wait for memory most of the time")
empty = {(row["method"], row["empty"]) for row in result.done if row["empty"]}
print(f"layers without weights: {sorted(empty) or 'none'}")
if find_spec("matplotlib"):
    result.plot("designs/sweep.svg")
