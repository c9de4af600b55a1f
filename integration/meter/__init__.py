"""Measures whether a request was ever lost, while versions change underneath.

Open-loop load on one entry point: the send times are fixed beforehand, latency counts from them,
and every request is written down with what came of it. The load runs in a process of its own;
tests steer it through `Meter` and read a `Report`. By hand: `python -m integration.meter --help`.

Two rules. Nothing is hidden: no retry, no redirect, no cookie, no silent pause, and the meter's own
failings are reported beside the losses, never among them. And it only ever sends to this machine:
see `load.checked_target`.
"""

from integration.meter.controller import Meter, MeterFailed
from integration.meter.exchange import Cut, Exchange, Kind, Loss, WebsocketLife
from integration.meter.load import Load, TargetRefused
from integration.meter.report import Instant, Report

__all__ = [
    "Cut",
    "Exchange",
    "Instant",
    "Kind",
    "Load",
    "Loss",
    "Meter",
    "MeterFailed",
    "Report",
    "TargetRefused",
    "WebsocketLife",
]
