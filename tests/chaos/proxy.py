# SPDX-License-Identifier: Apache-2.0
"""The ways between the programs, so that they can be cut and slowed: a process of its own that passes bytes on.

Its argument is a JSON object of ways: {"orders": {"listen": …, "to": …}}, each a port of 127.0.0.1 or the path of a
Unix socket. Orders come on standard input, a line each: `cut WAY SHARE` ends that share of its connections at once,
without a goodbye; `refuse WAY SECONDS` takes no new ones and ends those there are; `delay WAY SECONDS MS` lets every
piece arrive so much later; `freeze WAY SECONDS` passes nothing on. Says "ready" once all ways are open.
"""

import asyncio
import json
import os
import random
import sys

PIECE = 64 << 10


class Way:
    def __init__(self, listen, to, dice):
        self.listen, self.to, self.dice = listen, to, dice
        self.connections = set()
        self.delay = 0
        self.flows = asyncio.Event()
        self.flows.set()
        self.refuses = False

    async def open(self):
        if isinstance(self.listen, int):
            await asyncio.start_server(self.accept, "127.0.0.1", self.listen, backlog=1024)
        else:
            await asyncio.start_unix_server(self.accept, self.listen, backlog=1024)
            os.chmod(self.listen, 0o777)

    async def accept(self, reader, writer):
        transports = [writer.transport]
        self.connections.add(writer.transport)
        try:
            if self.refuses:
                return
            if isinstance(self.to, int):
                far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.to)
            else:
                far_reader, far_writer = await asyncio.open_unix_connection(self.to)
            transports.append(far_writer.transport)
            ends = {asyncio.ensure_future(self.carry(reader, far_writer)), asyncio.ensure_future(self.carry(far_reader, writer))}
            _, pending = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            for end in pending:
                end.cancel()
        except OSError:
            pass
        finally:
            self.connections.discard(writer.transport)
            for transport in transports:
                transport.abort()

    async def carry(self, reader, writer):
        try:
            while piece := await reader.read(PIECE):
                if self.delay:
                    await asyncio.sleep(self.delay)
                await self.flows.wait()
                writer.write(piece)
                await writer.drain()
        except OSError:
            pass

    def cut(self, share):
        for transport in list(self.connections):
            if self.dice.random() < share:
                transport.abort()

    def refuse(self, on):
        self.refuses = on
        if on:
            self.cut(1)

    def freeze(self, on):
        (self.flows.clear if on else self.flows.set)()


async def obey(ways):
    loop = asyncio.get_running_loop()
    lines = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while line := (await lines.readline()).decode().split():
        what, way, number = line[0], ways[line[1]], float(line[2])
        if what == "cut":
            way.cut(number)
        elif what == "delay":
            way.delay = float(line[3]) / 1000
            loop.call_later(number, setattr, way, "delay", 0)
        else:
            change = {"refuse": way.refuse, "freeze": way.freeze}[what]
            change(True)
            loop.call_later(number, change, False)


async def main():
    dice = random.Random(1)
    ways = {name: Way(way["listen"], way["to"], dice) for name, way in json.loads(sys.argv[1]).items()}
    for way in ways.values():
        await way.open()
    print("ready", flush=True)
    await obey(ways)


if __name__ == "__main__":
    asyncio.run(main())
