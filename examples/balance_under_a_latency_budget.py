"""Balance the shipped ticket in 70 % of the balanced cycles; save masks and report."""

from balancer import BalanceRequest, balance_ticket, shipped_ticket
from hwmodel import Hardware

request = BalanceRequest(scope="global", latency_budget=0.7)
report = balance_ticket(shipped_ticket(), request, Hardware.of("u-ticket"))
print(report)
print(f"cycles: {report.cycles_before:,} -> {report.cycles:,}")
report.save("balanced")
