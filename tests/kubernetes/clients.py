# SPDX-License-Identifier: Apache-2.0
"""Two HTTP clients that do what a careful client may and nothing more, so that what they count as failed has failed.

Http1 keeps connections alive and gives up one whose answer says `Connection: close`, or that the server ended while
nothing was asked on it. It sends nothing twice. Http2 opens no stream on a connection that said GOAWAY, and sends again,
elsewhere, only a stream of which GOAWAY or REFUSED_STREAM says that it was not processed; `resent` counts those.
"""

import asyncio
import collections
import dataclasses
import ssl
import time
import urllib.parse

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h11

CONNECT_SECONDS = 5
REFUSED_SECONDS = 0.05  # between two tries
RESENDS_MAX = 5
CONNECTIONS_MAX = 512  # of each client: more than that and the load is not what was asked for
GOAWAY = 7  # the type of the frame


class Lost(Exception):
    """The request has failed, or nobody knows: what a user would see as an error."""


class NotProcessed(Exception):
    """The server says that it did not begin with the request: it may be sent again."""


@dataclasses.dataclass
class Request:
    method: str
    path: str
    headers: dict = dataclasses.field(default_factory=dict)
    body: bytes = b""

    def all_headers(self):
        length = {"content-length": str(len(self.body))} if self.body or self.method == "POST" else {}
        return {**self.headers, **length}


class Client:
    """What both have in common: where to connect, and a number of connections that are used in turn, so that each of
    them hears soon enough that its server is about to go."""

    protocol = None
    alpn = None

    def __init__(self, url, connections, ca_file=None, connect_seconds=0):
        parts = urllib.parse.urlsplit(url)
        self.host, self.port, self.authority = parts.hostname, parts.port, parts.netloc
        self.scheme, self.tls = parts.scheme, None
        if parts.scheme == "https":
            self.tls = ssl.create_default_context(cafile=ca_file)
            self.tls.set_alpn_protocols([self.alpn])
        self.wanted = connections
        self.connections = set()
        self.connect_seconds = connect_seconds
        self.opened = self.refused = 0
        self.resent = collections.Counter()

    async def open(self):
        """A new connection. One that is refused is tried again for `connect_seconds`, and counted: nothing was sent."""
        if len(self.connections) >= CONNECTIONS_MAX:
            raise Lost(f"{CONNECTIONS_MAX} connections are busy")
        end = time.monotonic() + self.connect_seconds
        while True:
            try:
                connection = await self.connect()
                break
            except ConnectionRefusedError as error:
                self.refused += 1
                if time.monotonic() >= end:
                    raise Lost(f"connect: {error}") from None
                await asyncio.sleep(REFUSED_SECONDS)
            except (OSError, asyncio.TimeoutError) as error:
                raise Lost(f"connect: {error or 'time is up'}") from None
        self.opened += 1
        self.connections.add(connection)
        return connection

    async def connect(self):
        name = self.host if self.tls else None
        made = asyncio.get_running_loop().create_connection(lambda: self.protocol(self), self.host, self.port, ssl=self.tls,
                                                            server_hostname=name)
        return (await asyncio.wait_for(made, CONNECT_SECONDS))[1]

    def close(self):
        for connection in list(self.connections):
            connection.transport.close()


# ---- HTTP/1.1 ----


class Connection1(asyncio.Protocol):
    """One request at a time. It is in its client's `idle` exactly while none is asked and another one may be."""

    def __init__(self, client):
        self.client = client
        self.parser = h11.Connection(h11.CLIENT)
        self.transport = self.answer = None
        self.status, self.body = None, []

    def connection_made(self, transport):
        self.transport = transport

    def ask(self, request):
        self.answer = asyncio.get_running_loop().create_future()
        self.status, self.body = None, []
        headers = [("host", self.client.authority), *request.all_headers().items()]
        sent = self.parser.send(h11.Request(method=request.method, target=request.path, headers=headers))
        if request.body:
            sent += self.parser.send(h11.Data(data=request.body))
        self.transport.write(sent + self.parser.send(h11.EndOfMessage()))
        return self.answer

    def data_received(self, data):
        try:
            self.parser.receive_data(data)
            while (event := self.parser.next_event()) not in (h11.NEED_DATA, h11.PAUSED):
                self.take(event)
        except h11.ProtocolError as error:
            self.end(Lost(f"not HTTP: {error}"))

    def take(self, event):
        if isinstance(event, h11.Response):
            self.status = event.status_code
        elif isinstance(event, h11.Data):
            self.body.append(bytes(event.data))
        elif isinstance(event, h11.EndOfMessage):
            answer, self.answer = self.answer, None
            if self.parser.our_state is h11.MUST_CLOSE:
                self.transport.close()
            else:
                self.parser.start_next_cycle()
                self.client.idle.append(self)
            if not answer.done():
                answer.set_result((self.status, b"".join(self.body)))

    def connection_lost(self, error):
        self.end(Lost(f"connection lost: {error or 'ended by the server'}"))

    def end(self, failure):
        self.client.forget(self)
        if self.answer is not None and not self.answer.done():
            self.answer.set_exception(failure)
        self.answer = None
        self.transport.close()


class Http1(Client):
    protocol = Connection1
    alpn = "http/1.1"

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.idle = collections.deque()

    async def send(self, request):
        if self.idle and len(self.connections) >= self.wanted:
            connection = self.idle.popleft()  # the one that was asked least recently
        else:
            connection = await self.open()
        if connection.transport.is_closing():
            raise Lost("connection lost before it was used")
        return await connection.ask(request)

    def forget(self, connection):
        self.connections.discard(connection)
        if connection in self.idle:
            self.idle.remove(connection)


# ---- HTTP/2 ----


class Connection2(asyncio.Protocol):
    """Streams by their number. `leaving` is set by GOAWAY: those that it lets finish do, no new one is opened."""

    def __init__(self, client):
        self.client = client
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))
        self.transport = None
        self.streams = {}
        self.received = b""
        self.leaving = False

    def connection_made(self, transport):
        self.transport = transport
        self.h2.initiate_connection()
        self.flush()

    def has_room(self):
        return not self.leaving and len(self.streams) < self.h2.remote_settings.max_concurrent_streams

    def ask(self, request):
        number = self.h2.get_next_available_stream_id()
        stream = self.streams[number] = Stream(asyncio.get_running_loop().create_future())
        pseudo = [(":method", request.method), (":path", request.path), (":scheme", self.client.scheme),
                  (":authority", self.client.authority)]
        self.h2.send_headers(number, [*pseudo, *request.all_headers().items()], end_stream=not request.body)
        if request.body:
            self.h2.send_data(number, request.body, end_stream=True)
        self.flush()
        return stream.answer

    def data_received(self, data):
        """Frame by frame: the library takes GOAWAY for the end of everything, we know better."""
        self.received += data
        while len(self.received) >= 9:
            end = 9 + int.from_bytes(self.received[:3], "big")
            if len(self.received) < end:
                break
            frame, self.received = self.received[:end], self.received[end:]
            if frame[3] == GOAWAY:
                self.leave(int.from_bytes(frame[9:13], "big") & 0x7FFFFFFF)
                continue
            try:
                for event in self.h2.receive_data(frame):
                    self.take(event)
            except h2.exceptions.ProtocolError as error:
                self.fail_all(Lost(f"not HTTP/2: {error}"))
                self.transport.close()
                return
        self.flush()
        self.close_if_done()

    def take(self, event):
        stream = self.streams.get(getattr(event, "stream_id", None))
        if stream is None:
            return
        if isinstance(event, h2.events.ResponseReceived):
            stream.status = int(dict(event.headers)[":status"])
        elif isinstance(event, h2.events.DataReceived):
            stream.body.append(event.data)
            self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            self.finish(event.stream_id, lambda answer: answer.set_result((stream.status, b"".join(stream.body))))
        elif isinstance(event, h2.events.StreamReset):
            refused = event.error_code == h2.errors.ErrorCodes.REFUSED_STREAM
            failure = NotProcessed("refused") if refused else Lost(f"stream reset: {event.error_code!r}")
            self.finish(event.stream_id, lambda answer: answer.set_exception(failure))

    def leave(self, last):
        self.leaving = True
        for number in [number for number in self.streams if number > last]:
            self.finish(number, lambda answer: answer.set_exception(NotProcessed("goaway")))

    def finish(self, number, settle):
        answer = self.streams.pop(number).answer
        if not answer.done():
            settle(answer)

    def fail_all(self, failure):
        for number in list(self.streams):
            self.finish(number, lambda answer: answer.set_exception(failure))

    def close_if_done(self):
        if self.leaving and not self.streams:
            self.transport.close()

    def connection_lost(self, error):
        self.leaving = True
        self.client.connections.discard(self)
        self.fail_all(Lost(f"connection lost: {error or 'ended by the server'}"))

    def flush(self):
        self.transport.write(self.h2.data_to_send())


@dataclasses.dataclass
class Stream:
    answer: asyncio.Future
    status: int = None
    body: list = dataclasses.field(default_factory=list)


class Http2(Client):
    protocol = Connection2
    alpn = "h2"

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.turn = 0

    async def send(self, request):
        for _ in range(RESENDS_MAX):
            try:
                return await (await self.connection()).ask(request)
            except NotProcessed as told:
                self.resent[str(told)] += 1
        raise Lost(f"not processed {RESENDS_MAX} times")

    async def connection(self):
        usable = [connection for connection in self.connections if connection.has_room()]
        if len(usable) < self.wanted:
            return await self.open()
        self.turn += 1
        return usable[self.turn % len(usable)]
