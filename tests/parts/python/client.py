"""Runs a scenario with Python's `websockets` and prints the result as one line of JSON. See docs/testing.md."""

import asyncio
import json
import ssl
import sys

import websockets
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789-"


def payload_of(value):
    """The payload that a step names; the same patterns as in the Node clients."""
    if isinstance(value, str):
        return value
    if "bytes" in value:
        return bytes(index % 251 for index in range(value["bytes"]))
    length = value["text_length"]
    return (LETTERS * (length // len(LETTERS) + 1))[:length]


def describe(payload):
    if isinstance(payload, str):
        return {"type": "text", "length": len(payload.encode()), "head": payload[:200]}
    return {"type": "binary", "length": len(payload)}


def print_line(value):
    print(json.dumps(value), flush=True)


def tls_context(scenario):
    if not scenario["url"].startswith("wss:"):
        return None
    context = ssl.create_default_context(cafile=scenario.get("ca"))
    if scenario.get("insecure"):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def deflate_options(compression):
    """True, false, or the window that the server is asked for."""
    if isinstance(compression, bool):
        return {"compression": "deflate" if compression else None}
    return {"compression": None, "extensions": [ClientPerMessageDeflateFactory(**compression)]}


class Client:
    """One connection and what was seen on it. Every wait is limited by the scenario's `timeout_ms`."""

    def __init__(self, scenario, socket, result):
        self.timeout_s = scenario.get("timeout_ms", 10_000) / 1000
        self.socket = socket
        self.result = result
        self.unread = asyncio.Queue()
        self.reader = asyncio.create_task(self.read())

    async def read(self):
        """Takes messages as they come, as the browser's interface does; ends with the connection."""
        try:
            async for payload in self.socket:
                self.result["messages"].append(describe(payload))
                self.unread.put_nowait(payload)
        except ConnectionClosed:
            pass  # an unclean end: `note_close` reports its code
        self.unread.put_nowait(None)

    async def within(self, what, awaitable):
        try:
            return await asyncio.wait_for(awaitable, self.timeout_s)
        except asyncio.TimeoutError:
            raise RuntimeError(f"no {what} within {self.timeout_s * 1000:.0f} ms") from None

    async def next_message(self):
        payload = await self.within("message", self.unread.get())
        if payload is None:
            raise RuntimeError(f"closed with {self.socket.close_code} instead of a message")
        return payload

    async def step(self, name, value):
        if name == "send":
            await self.within("room to send", self.socket.send(payload_of(value)))
        elif name == "send_fragments":
            await self.within("room to send", self.socket.send([payload_of(each) for each in value]))
        elif name == "expect":
            wanted, got = payload_of(value), await self.next_message()
            if wanted != got:
                raise RuntimeError(f"expected {describe(wanted)}, got {describe(got)}")
        elif name == "expect_messages":
            for _ in range(value):
                await self.next_message()
        elif name == "ping":
            await self.within("pong", await self.socket.ping(value))
        elif name == "close":
            code, reason = (value["code"], value.get("reason", "")) if isinstance(value, dict) else (value, "")
            await self.within("close", self.socket.close(code, reason))
        elif name == "terminate":
            self.socket.transport.abort()
        elif name == "wait_close":
            await self.within("close", self.socket.wait_closed())
        elif name == "mark":
            print_line({"mark": value})
        elif name == "wait_stdin":
            await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
        else:
            raise RuntimeError(f"unknown step {name}")

    async def run(self, steps):
        for step in steps:
            [(name, value)] = step.items()
            await self.step(name, value)
        await self.within("close", self.socket.close(1000))
        await self.within("end of the reader", self.reader)

    def note_close(self):
        protocol = self.socket.protocol
        self.result["close"] = {
            "code": self.socket.close_code,
            "reason": self.socket.close_reason or "",
            "clean": protocol.close_rcvd is not None and protocol.close_sent is not None,
        }


async def run_scenario(scenario):
    result = {
        "client": f"websockets {websockets.__version__}",
        "ok": False,
        "opened": False,
        "extensions": "",
        "protocol": "",
        "messages": [],
        "close": None,
        "error": None,
        "refused": None,
    }
    try:
        socket = await connect(
            scenario["url"],
            **deflate_options(scenario.get("compression", True)),
            subprotocols=scenario.get("protocols") or None,
            origin=scenario.get("origin"),
            additional_headers=scenario.get("headers"),
            ssl=tls_context(scenario),
            open_timeout=scenario.get("timeout_ms", 10_000) / 1000,
            ping_interval=None,  # the gateway's pings are what is tested
            max_size=None,
            proxy=None,
        )
    except InvalidStatus as refusal:
        response = refusal.response
        result["error"] = str(refusal)
        result["refused"] = {
            "status": response.status_code,
            "headers": {name.lower(): value for name, value in response.headers.raw_items()},
            "body": (response.body or b"").decode(errors="replace"),
        }
        return result
    except Exception as error:  # no connection, bad certificate, bad answer: all are results of the scenario
        result["error"] = f"{type(error).__name__}: {error}"
        return result

    result["opened"] = True
    result["extensions"] = socket.response.headers.get("Sec-WebSocket-Extensions", "")
    result["protocol"] = socket.subprotocol or ""
    client = Client(scenario, socket, result)
    try:
        await client.run(scenario.get("steps", []))
        result["ok"] = True
    except Exception as error:  # whatever fails in a step is the scenario's result
        result["error"] = str(error) or type(error).__name__
        await socket.close()
    client.note_close()
    return result


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("""usage: client.py '{"url":"ws://…","steps":[…]}'""")
    print_line(asyncio.run(run_scenario(json.loads(sys.argv[1]))))
