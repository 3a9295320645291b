"""Balance the shipped ticket, and write what each PE reads: memories for $readmemh."""

from pathlib import Path

from balancer import balance_ticket, export_streams, read_streams, shipped_ticket

report = balance_ticket(shipped_ticket(), order="optimized")
masks = report.save("balanced").masks
export_streams("streams", shipped_ticket(), masks, bits=8)

# What a PE does: it reads (position, value), and adds the value where the input at that
# position spikes. PEs of one group have as many words, so none waits for another.
for name, streams in read_streams("streams").items():
    print(f"{name}: {streams}, 1 is {streams.values.scale:.3e}")
    for group, lengths in enumerate(streams.lengths):
        busy = lengths[lengths > 0]
        print(f"  group {group}: {lengths.max()} words on each of {busy.size} PEs")

positions, values = streams.stream(group=0, pe=0).positions, streams.stream(0, 0).values
print(f"PE 0 of {name} begins with {positions}, {values.round(3)}")
print(Path("streams", name, "pe0.mem").read_text())
