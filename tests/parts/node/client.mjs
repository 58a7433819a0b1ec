// Runs a scenario with Node's `ws` and prints the result as one line of JSON. See docs/testing.md.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import WebSocket from "ws";
import { lineReader, print, scenarioFromArguments } from "./host.mjs";
import { runScenario } from "./scenario.mjs";

const scenario = scenarioFromArguments();
const { version } = createRequire(import.meta.url)("ws/package.json");
let socket;
let refused = null;

function open() {
  socket = new WebSocket(scenario.url, scenario.protocols ?? [], {
    perMessageDeflate: deflateOptions(scenario.compression ?? true),
    headers: scenario.headers,
    origin: scenario.origin,
    rejectUnauthorized: !scenario.insecure,
    ca: scenario.ca && readFileSync(scenario.ca),
  });
  socket.on("unexpected-response", (request, response) => {
    let body = "";
    response.setEncoding("utf8");
    response.on("data", (text) => (body += text));
    response.on("end", () => {
      refused = { status: response.statusCode, headers: response.headers, body };
      // Having this listener means ending the attempt ourselves; `ws` then emits error and close.
      socket.terminate();
    });
  });
  return socket;
}

/** `true`, `false`, or the window that the server is asked for. */
function deflateOptions(compression) {
  if (typeof compression === "boolean") return compression;
  return { serverMaxWindowBits: compression.server_max_window_bits };
}

/** One message in several frames. */
function sendFragments(payloads) {
  payloads.forEach((payload, index) => socket.send(payload, { fin: index === payloads.length - 1 }));
}

function ping(text) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error("no pong")), scenario.timeout_ms ?? 10_000);
    socket.on("pong", (payload) => {
      if (payload.toString() !== text) return;
      clearTimeout(timer);
      resolve();
    });
    socket.ping(text);
  });
}

const result = await runScenario(scenario, open, {
  mark: (mark) => print({ mark }),
  wait: lineReader(),
  ping,
  terminate: () => socket.terminate(),
  sendFragments,
});
if (refused) result.error = `refused with ${refused.status}`;
print({ client: `ws ${version}`, ...result, refused });
process.exit(0);
