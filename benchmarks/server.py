"""What the server holds over HTTP: peak, latency at 70 % of it, 10x overload, SIGTERM under load, memory, a soak.

    python benchmarks/server.py [--only peak,overload,sigterm,memory,soak] [--seconds S] [--times N] [--requests N]

Clips of 5 s (16-bit WAV, 16 kHz) over keep-alive connections, load generator on the same machine; its own share of a
core is stated. 70 % of the peak comes at random times, as people ask, and then at even ones. A short run: `--seconds 3
--times 2 --requests 500`. The full one: `--seconds 60 --times 50 --requests 10000`. The soak mixes good requests with
broken ones, bombs and clients that leave (traffic.py), and asks whether memory and open files of the server and its
workers stay what they were. `--json` prints JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import random
import sys
import time
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import soundfile

from serving import Server, own_share, percentile, report, running, voice
from traffic import Bodies, mixed

PHASES = ("peak", "overload", "sigterm", "memory", "soak")
MAX_CONNECTIONS = 1500
ROUND = 500
"""Requests of a soak between two looks at memory and open files."""
OVER = 26 * 2**20
"""Bytes of a body that is too large."""


class Connection:
    """A keep-alive connection that asks one thing at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def open(cls, port: int) -> Connection:
        """A new one."""
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def ask(self, request: bytes) -> int:
        """The status; raises OSError or IncompleteReadError where there is none."""
        self._writer.write(request)
        await self._writer.drain()
        head = await self._reader.readuntil(b"\r\n\r\n")
        lower = head.lower()
        length = int(lower.split(b"content-length: ", 1)[1].split(b"\r\n", 1)[0])
        await self._reader.readexactly(length)
        self.open_still = b"connection: close" not in lower
        return int(head[9:12])

    @property
    def ended(self) -> bool:
        """Whether the server has closed it."""
        return self._reader.at_eof()

    def close(self) -> None:
        """Let go of it."""
        self._writer.close()


@dataclass
class Load:
    """What came of the requests of a phase."""

    counts: Counter[int] = field(default_factory=Counter)
    seconds: dict[int, list[float]] = field(default_factory=dict)
    broken: int = 0
    """Requests that were sent and got no answer."""
    unsent: int = 0
    """Requests that were never sent, as nobody listened any more."""

    @property
    def not_served(self) -> int:
        """Requests that were sent and not answered with 200."""
        return sum(self.counts.values()) - self.counts[200] + self.broken

    def note(self, status: int, seconds: float) -> None:
        """Count an answer."""
        self.counts[status] += 1
        self.seconds.setdefault(status, []).append(seconds)


def clip(seconds: float = 5.0) -> bytes:
    """A WAV file of synthetic speech."""
    buffer = io.BytesIO()
    soundfile.write(buffer, voice(seconds), 16_000, format="WAV", subtype="PCM_16")
    return buffer.getvalue()


def request(port: int, body: bytes) -> bytes:
    """The bytes of a prediction's request."""
    head = f"POST /v1/predict HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def closed_loop(
    port: int, data: bytes, concurrency: int, seconds: float, total: int | None = None
) -> Load:
    """`concurrency` clients, each asking again as soon as it is answered."""
    load = Load()
    end = time.perf_counter() + seconds
    left = [total if total is not None else 1 << 60]

    async def client() -> None:
        connection: Connection | None = None
        while time.perf_counter() < end and left[0] > 0:
            left[0] -= 1
            started = time.perf_counter()
            try:
                connection = connection or await Connection.open(port)
            except OSError:
                load.unsent += 1
                await asyncio.sleep(0.05)
                continue
            try:
                load.note(await connection.ask(data), time.perf_counter() - started)
                if not connection.open_still:
                    connection.close()
                    connection = None
            except (OSError, asyncio.IncompleteReadError):
                load.broken += 1
                connection = None
        if connection:
            connection.close()

    await asyncio.gather(*(client() for _ in range(concurrency)))
    return load


async def open_loop(port: int, data: bytes, rate: float, seconds: float, *, even: bool = False) -> Load:
    """Requests at random or `even` times, `rate` a second whatever the server does; latency is from when each was due.

    Those at random are a Poisson process.
    """
    load, free, n_open = Load(), [], 0
    rng = random.Random(0)

    async def one(due: float) -> None:
        nonlocal n_open
        while free and free[-1].ended:  # the server has closed it after some seconds without a request
            free.pop().close()
            n_open -= 1
        connection: Connection | None = free.pop() if free else None
        try:
            if connection is None:
                n_open += 1
                connection = await Connection.open(port)
            load.note(await connection.ask(data), time.perf_counter() - due)
            if connection.open_still:
                free.append(connection)
                return
            connection.close()
        except (OSError, asyncio.IncompleteReadError):
            load.broken += 1
        n_open -= 1

    tasks: set[asyncio.Task[None]] = set()
    due, end = time.perf_counter(), time.perf_counter() + seconds
    while due < end:
        due += 1 / rate if even else rng.expovariate(rate)
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        while not free and n_open >= MAX_CONNECTIONS:
            await asyncio.sleep(0.001)
        task = asyncio.create_task(one(due))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    await asyncio.gather(*tasks)
    for connection in free:
        connection.close()
    return load


async def served(port: int, data: bytes, clients: int, seconds: float) -> float:
    """Answers a second to so many `clients` that each ask again as soon as they are answered."""
    load = await closed_loop(port, data, clients, seconds)
    return load.counts[200] / seconds


async def peak(server: Server, data: bytes, seconds: float) -> dict[str, object]:
    """Unloaded latency, peak throughput, latency at 70 % of it."""
    await closed_loop(server.port, data, 2, 1.0)
    alone = await closed_loop(server.port, data, 1, max(2.0, seconds / 4))
    rates = [(await served(server.port, data, n, seconds / 2), n) for n in (2, 4, 8, 16)]
    _, at = max(rates)
    best = await served(server.port, data, at, seconds)  # the highest of four is too high by chance
    before = (time.process_time(), time.perf_counter())
    cpu = server.cpu_seconds()
    at70 = await open_loop(server.port, data, 0.7 * best, seconds)
    p50, p99 = percentile(alone.seconds[200], 50), percentile(at70.seconds[200], 99)
    shares = (server.cpu_seconds() - cpu) / (time.perf_counter() - before[1]), own_share(before)
    even = await open_loop(server.port, data, 0.7 * best, seconds, even=True)
    even_p99 = percentile(even.seconds[200], 99)
    return {
        "unloaded p50, ms": 1000 * p50,
        "peak, requests/s": best,
        "peak at how many clients": at,
        "at 70 % of peak: p50, ms": 1000 * percentile(at70.seconds[200], 50),
        "at 70 % of peak: p99, ms": 1000 * p99,
        "at 70 % of peak: p99 over unloaded p50": p99 / p50,
        "at 70 % of peak: not answered with 200": at70.not_served,
        "at 70 % of peak: server's share of a core": shares[0],
        "at 70 % of peak: generator's share of a core": shares[1],
        "at 70 % of peak, evenly: p50, ms": 1000 * percentile(even.seconds[200], 50),
        "at 70 % of peak, evenly: p99, ms": 1000 * even_p99,
        "at 70 % of peak, evenly: p99 over unloaded p50": even_p99 / p50,
        "at 70 % of peak, evenly: not answered with 200": even.not_served,
    }


async def overload(
    server: Server, data: bytes, seconds: float, best: float, clients: int
) -> dict[str, object]:
    """Ten times the peak. What it is compared with is the mean of the `best` before and a peak after it, of as many
    `clients`: a machine that is shared changes its speed within minutes.
    """
    before = (time.process_time(), time.perf_counter())
    load = await open_loop(server.port, data, 10 * best, seconds)
    took = time.perf_counter() - before[1]
    share = own_share(before)
    after = await served(server.port, data, clients, seconds / 2)
    goodput = load.counts[200] / took
    refused = load.seconds.get(429, [])
    offered = sum(load.counts.values()) + load.broken
    return {
        "overload: offered, requests/s": offered / seconds,
        "overload: goodput, requests/s": goodput,
        "overload: peak after it, requests/s": after,
        "overload: goodput over peak, %": 100 * goodput / ((best + after) / 2),
        "overload: refusals p50, ms": 1000 * percentile(refused, 50),
        "overload: refusals p99, ms": 1000 * percentile(refused, 99),
        "overload: neither 200 nor 429": offered - load.counts[200] - load.counts[429] - load.broken,
        "overload: without an answer": load.broken,
        "overload: generator's share of a core": share,
    }


async def sigterm(body: bytes, times: int) -> dict[str, object]:
    """A server under load is told to stop; whoever sent a whole request gets an answer."""
    lost = bad_exits = answered = told = 0
    for _ in range(times):
        with running() as server:
            loading = asyncio.create_task(
                closed_loop(server.port, request(server.port, body), 16, 3.0, total=400)
            )
            await asyncio.sleep(0.5)
            code = await asyncio.to_thread(server.stop)
            load = await loading
            bad_exits += code != 0
            answered += load.counts[200]
            told += load.counts[503]
            lost += load.broken
    return {
        "SIGTERM: times": times,
        "SIGTERM: answered": answered,
        "SIGTERM: told 503": told,
        "SIGTERM: accepted and lost": lost,
        "SIGTERM: exit codes other than 0": bad_exits,
    }


async def memory(server: Server, data: bytes, requests: int) -> dict[str, object]:
    """Growth of memory, all processes together, after a tenth of the requests to warm up."""
    await closed_loop(server.port, data, 4, 1e9, total=max(200, requests // 10))
    before = server.resident_mb()
    load = await closed_loop(server.port, data, 4, 1e9, total=requests)
    grown = server.resident_mb() - before
    return {
        "memory: requests": load.counts[200],
        "memory: at first, MB": before,
        "memory: grown, MB": grown,
        "memory: grown per 10 000 requests, MB": 10_000 * grown / requests,
    }


async def soak(server: Server, requests: int) -> dict[str, object]:
    """Slopes of memory over `requests` good and bad requests, of which a fifth warm up; open files at rest."""
    bodies = Bodies.of(voice(1.5), OVER)
    outcomes: Counter[str] = Counter()
    looks: list[tuple[float, float, int]] = []
    await mixed(
        server.port, bodies, 64, clients=16, weights={"long": 1}
    )  # the model's memory for full batches
    for i in range(max(5, requests // ROUND)):
        outcomes += await mixed(server.port, bodies, ROUND, seed=i)
        await asyncio.to_thread(server.wait_idle)
        main, *workers = server.resident_each_mb()
        looks.append((main, sum(workers), server.open_files()))
        print(f"{ROUND * (i + 1)}: {main:.1f} + {sum(workers):.1f} MB, {looks[-1][2]} files", file=sys.stderr)
    steady = np.array(looks[max(2, len(looks) // 5) :])
    requests_after = ROUND * np.arange(len(steady))
    slopes = 10_000 * np.polyfit(requests_after, steady[:, :2], 1)[0]
    return {
        "soak: requests": sum(outcomes.values()),
        "soak: no answer to those who waited": ", ".join(what for what in outcomes if "Error" in what)
        or "none",
        "soak: server, MB after warming up": steady[0, 0],
        "soak: server, MB per 10 000 requests": slopes[0],
        "soak: workers, MB after warming up": steady[0, 1],
        "soak: workers, MB per 10 000 requests": slopes[1],
        "soak: open files, least and most": f"{steady[:, 2].min():.0f}-{steady[:, 2].max():.0f}",
    }


async def measure(args: argparse.Namespace) -> dict[str, object]:
    """The phases that are asked for."""
    body = clip()
    phases = args.only.split(",")
    figures: dict[str, object] = {"clips, s": 5.0, "seconds a phase": args.seconds}
    if {"peak", "overload"} & set(phases):
        with running() as server:
            data = request(server.port, body)
            figures |= await peak(server, data, args.seconds)
            if "overload" in phases:
                best, clients = figures["peak, requests/s"], figures["peak at how many clients"]
                assert isinstance(best, float) and isinstance(clients, int)
                figures |= await overload(server, data, args.seconds, best, clients)
    if "memory" in phases:
        with running() as server:
            figures |= await memory(server, request(server.port, body), args.requests)
    if "soak" in phases:
        with running() as server:
            figures |= await soak(server, args.requests)
    if "sigterm" in phases:
        figures |= await sigterm(body, args.times)
    return figures


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--only", default=",".join(PHASES))
    parser.add_argument("--times", type=int, default=50)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    report(asyncio.run(measure(args)), args.json)


if __name__ == "__main__":
    main()
