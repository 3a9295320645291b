# %% [markdown]
"""
# From install to a balanced, retrained ticket

A spiking network learns scikit-learn's digits, loses 98 % of its weights, and is then
balanced: every processing element (PE) of an accelerator gets the same work. This takes
about a minute on one core. You need the extra `snn`:

```sh
python -m pip install -e '.[snn]'
```

This page is the notebook [tutorial.ipynb](tutorial.ipynb) with what it
printed; [tutorial.py](tutorial.py) is the same as a script.
"""

# %%
import matplotlib.pyplot as plt

from balancer import PEMap, balance_ticket, open_ticket
from hwmodel import Hardware
from snn import LotteryConfig, retrain, run_lottery

# %% [markdown]
"""
## A lottery ticket

A lottery run trains the network, prunes its smallest weights, puts the others back to
their values of an early epoch, and trains again, round by round. What a round leaves
is a *ticket*: a file of weights, masks, and what is known of the network. `lth` prunes
by magnitude alone, wherever the weights are.
"""

# %%
rounds = {"sparsities": (0.8, 0.95, 0.98), "epochs": 8, "timesteps": 2}
config = LotteryConfig(method="lth", **rounds)
plain = run_lottery(config, root="runs", resume=True)
for one in plain.outcomes:
    print(
        f"round {one.round}: {one.sparsity:6.2%} sparse, {one.accuracy:.1%} accurate, "
        f"utilization {one.utilization:.3f}, {one.cycles:,.0f} cycles"
    )

# %% [markdown]
"""
## Why it is slow

Sixteen PEs take sixteen output channels at a time, one each, and the next sixteen only
when all are done. So a tile takes as long as its largest load. Here are the loads of
the second layer's four tiles, the number of weights that each PE works through:
"""


# %%
def loads_of(path, name="features.3"):
    """Return the loads of a layer's PEs, an array [tiles, PEs]."""
    layer = next(one for one in open_ticket(path).layers if one.name == name)
    mask = layer.read_mask()
    for schedule in layer.read_schedules():  # the channels as the PEs take them
        mask = schedule.apply(mask)
    return PEMap.output_channel(mask.shape, pes=16).loads(mask)


def show(loads, title):
    """Draw what the PEs do in every tile, and how long they wait for the slowest."""
    figure, axes = plt.subplots(
        1, len(loads), sharey=True, figsize=(8, 2.2), layout="constrained"
    )
    for tile, (axis, load) in enumerate(zip(axes, loads, strict=True)):
        axis.bar(range(16), load.max(), width=0.8, color="0.85", label="waits")
        axis.bar(range(16), load, width=0.8, color="#0072b2", label="works")
        axis.set(title=f"tile {tile}", xlabel="PE", xticks=(0, 5, 10, 15))
    axes[0].set_ylabel("cycles for each input")
    axes[-1].legend(loc="upper right", fontsize="small")
    figure.suptitle(title)
    figure.savefig(f"{title}.png")


before = loads_of(plain.ticket())
show(before, "unbalanced")
print(f"{before.sum()} weights take {before.max(axis=1).sum()} slots of 16 PEs")

# %% [markdown]
"""
## Balance it

`balance_ticket` solves an integer program for each layer: keep the weights of the
largest total score such that all PEs of a tile have equal loads. `order="optimized"`
also chooses which channels share a tile.
"""

# %%
hardware = Hardware.of("u-ticket")
report = balance_ticket(plain.ticket(), order="optimized", hardware=hardware)
print(report)

# %%
files = report.save("balanced")
after = loads_of(files.masks)
show(after, "balanced")
print(f"{after.sum()} weights take {after.max(axis=1).sum()} slots of 16 PEs")

# %% [markdown]
"""
Each layer says how much magnitude its mask keeps, beside pruning anywhere with as many
weights; `optimal` means that no mask with equal loads, in any order of the channels,
keeps more. That is proven. What the network can still do is another question: some of
the weights that the masks keep were pruned in the ticket, and are zero until they are
trained.

## Train it again

`retrain` trains with these masks as a round of the run does: from the early weights, on
the same images.
"""

# %%
result = retrain(files.masks, plain.ticket(), root="runs", resume=True)
ticket, trained = result.before, result.after
print(f"the ticket         {ticket.accuracy:.1%}  {ticket.cycles:,.0f} cycles")
print(f"with the masks     {result.balanced:.1%}  {trained.cycles:,.0f} cycles")
print(f"trained with them  {trained.accuracy:.1%}  {trained.cycles:,.0f} cycles")

# %% [markdown]
"""
## Balance in every round

Balance can also be part of every round, so that training always sees the masks that it
will have. The default method `optimal-order` does that. It ranks weights by magnitude
times gradient, and shares them between the layers by another rule
([methods](../docs/lottery.md#methods)), which buys accuracy at high sparsity with
cycles ([study](../docs/study.md)).
"""

# %%
config = LotteryConfig(method="optimal-order", **rounds)
balanced = run_lottery(config, root="runs", resume=True)
for name, one in (("lth", plain.last), ("optimal-order", balanced.last)):
    print(
        f"{name:13}  {one.nonzeros:,} weights, {one.accuracy:.1%} accurate, "
        f"utilization {one.utilization:.3f}, {one.cycles:,.0f} cycles"
    )

# %% [markdown]
"""
One run of one seed says little about a point or two of accuracy. `compare_methods` runs
several seeds and prints intervals ([comparisons](../docs/lottery.md#comparisons)).

## Where to go from here

- Your own weights: `balance_ticket("net.pt", sparsity=0.98)`, on the command line
  [`balance`](../docs/own-network.md).
- Your own training: [a loop of your own](../docs/own-loop.md).
- Your own array of PEs: [an accelerator of your own](../docs/own-accelerator.md).
- What each PE reads, for RTL: [exports](../docs/export.md).
- What the numbers do not say: [utilization](../docs/utilization.md) and
  [magnitude](../docs/magnitude.md).
"""
