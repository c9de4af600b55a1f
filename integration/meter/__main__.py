"""Measures one entry point by hand: `python -m integration.meter --url http://127.0.0.1:8080 …`.

The same load and the same report as in a test. Exit codes: 0 not one request was lost, 1 some were,
2 bad input, 3 the meter itself failed and nothing is proven.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from integration.meter.controller import Meter, MeterFailed
from integration.meter.load import Load
from integration.meter.report import Report


def main() -> int:
    """Run the load that the command line asks for, and print its report."""
    arguments = _parser().parse_args()
    try:
        load = Load(
            url=arguments.url,
            host=arguments.host,
            rate=arguments.rate,
            seconds=arguments.seconds,
            slow=arguments.slow,
            websockets=arguments.websockets,
            timeout=arguments.timeout,
            post_share=arguments.post_share,
            fresh_share=arguments.fresh_share,
            own_networks=tuple(arguments.own_network),
        )
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    try:
        report = asyncio.run(_measured(load))
    except MeterFailed as error:
        print(error, file=sys.stderr)
        return 3
    if arguments.json:
        report.write_json(Path(arguments.json), exchanges=arguments.exchanges)
    print(report.table())
    print(report.sentence())
    print(f"The meter used {report.cpu_share() or 0.0:.1%} of one core.")
    if report.faults():
        return 3
    return 1 if report.lost() else 0


async def _measured(load: Load) -> Report:
    async with Meter(load) as meter:
        return await meter.finished()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m integration.meter", description=__doc__)
    parser.add_argument("--url", required=True, help="where to send: http://ADDRESS:PORT")
    parser.add_argument("--host", default="sample.localhost", help="the Host header")
    parser.add_argument("--seconds", type=float, default=10.0, help="how long")
    parser.add_argument("--rate", type=float, default=200.0, help="requests per second")
    parser.add_argument("--slow", type=int, default=0, help="slow requests open all along")
    parser.add_argument("--websockets", type=int, default=0, help="websockets open all along")
    parser.add_argument("--timeout", type=float, default=10.0, help="lost after so many seconds")
    parser.add_argument("--post-share", type=float, default=0.2, help="share of POSTs")
    parser.add_argument("--fresh-share", type=float, default=0.1, help="share of new connections")
    parser.add_argument(
        "--own-network",
        action="append",
        default=[],
        help="a container network of this project, such as 172.18.0.0/16",
    )
    parser.add_argument("--json", help="write the report to this file")
    parser.add_argument("--exchanges", action="store_true", help="with every single request")
    return parser


if __name__ == "__main__":
    sys.exit(main())
