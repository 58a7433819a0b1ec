"""Carries plain TCP connections over TLS: `tls_bridge.py PORT CA`, where PORT of localhost speaks TLS.

Prints the port on which it listens. A test with bare sockets gets a TLS client's view that way: FIN, RST and bytes pass
through as they are, in both directions. Ends with its stdin.
"""

import select
import socket
import ssl
import struct
import sys
import threading

RST_ON_CLOSE = struct.pack("ii", 1, 0)


def carry(plain, tls):
    """Bytes both ways with one thread: a TLS socket may not be used by two at once."""
    plain.setblocking(False)
    tls.setblocking(False)
    ways = [[plain, tls, b""], [tls, plain, b""]]
    while True:
        for way in ways:
            source, sink, pending = way
            try:
                while True:
                    if not pending:
                        pending = source.recv(65536)
                        if not pending:
                            return "FIN"
                    pending = pending[sink.send(pending) :]
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                pass
            except ssl.SSLEOFError:
                return "FIN"
            except OSError:
                return "RST"
            way[2] = pending
        # Waits for room where something is pending, for more where nothing is.
        reads = [source for source, _, pending in ways if not pending]
        writes = [sink for _, sink, pending in ways if pending]
        select.select(reads, writes, [], 1)


def serve(plain, port, context):
    try:
        tls = context.wrap_socket(socket.create_connection(("127.0.0.1", port)), server_hostname="localhost")
    except OSError:
        plain.close()
        return
    for sock in (plain, tls):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    end = carry(plain, tls)
    for sock in (plain, tls):
        if end == "RST":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RST_ON_CLOSE)
        sock.close()


def main():
    port, ca = int(sys.argv[1]), sys.argv[2]
    context = ssl.create_default_context(cafile=ca)
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)

    def accept():
        while True:
            plain, _ = listener.accept()
            threading.Thread(target=serve, args=(plain, port, context), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    sys.stdin.read()


main()
