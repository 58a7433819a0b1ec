// A WebSocket server around ws: /ws-notifications echoes, /ws broadcasts to every client, /stats counts,
// so that the bench's client can be checked. A ping every 30 s, a read limit of 64 KiB.
//
// usage: node server.js PORT COMPRESSION_LEVEL (0 turns permessage-deflate off)

import { createServer } from "node:http";
import { WebSocketServer } from "ws";

const [port, level] = process.argv.slice(2).map(Number);
const totals = { connections: 0, received: 0, sent: 0 };

const deflate = level > 0 && {
  zlibDeflateOptions: { level },
  serverNoContextTakeover: true,
  clientNoContextTakeover: true,
  threshold: 128,
};

const server = createServer((request, response) => {
  if (request.url !== "/stats") {
    response.writeHead(404).end();
    return;
  }
  response.setHeader("Content-Type", "application/json");
  response.end(JSON.stringify(totals));
});

const endpoint = (onMessage) => {
  const sockets = new WebSocketServer({ noServer: true, maxPayload: 65536, perMessageDeflate: deflate });
  sockets.on("connection", (socket) => {
    totals.connections += 1;
    socket.isAlive = true;
    socket.on("pong", () => { socket.isAlive = true; });
    socket.on("error", () => {});
    socket.on("message", (data, isBinary) => {
      totals.received += 1;
      onMessage(sockets, socket, data, isBinary);
    });
  });
  setInterval(() => {
    for (const socket of sockets.clients) {
      if (!socket.isAlive) {
        socket.terminate();
        continue;
      }
      socket.isAlive = false;
      socket.ping();
    }
  }, 30_000);
  return sockets;
};

const send = (socket, data, isBinary) => {
  totals.sent += 1;
  socket.send(data, { binary: isBinary });
};

const endpoints = new Map([
  ["/ws-notifications", endpoint((_, socket, data, isBinary) => send(socket, data, isBinary))],
  ["/ws", endpoint((sockets, _, data, isBinary) => {
    for (const socket of sockets.clients) {
      send(socket, data, isBinary);
    }
  })],
]);

server.on("upgrade", (request, socket, head) => {
  const sockets = endpoints.get(request.url.split("?")[0]);
  if (sockets === undefined) {
    socket.end("HTTP/1.1 404 Not Found\r\n\r\n");
    return;
  }
  sockets.handleUpgrade(request, socket, head, (open) => sockets.emit("connection", open, request));
});

server.listen(port, "127.0.0.1");
