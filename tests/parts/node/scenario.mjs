// One scenario on one WebSocket. It knows the browser's WebSocket interface only, which Node's `ws` has too, so both
// clients run this very function; Chromium gets its source text, hence nothing here may refer to anything outside.
// The steps and the result are described in docs/testing.md.

/**
 * @param {object} scenario  `{steps, timeout_ms}`
 * @param {() => WebSocket} open  makes the socket; called once
 * @param {object} host  `{mark(name), wait()}`, and what only some clients can:
 *   `{ping(text), terminate(), sendFragments(payloads)}`
 */
export async function runScenario(scenario, open, host) {
  const timeoutMs = scenario.timeout_ms ?? 10_000;
  const result = { ok: false, opened: false, extensions: "", protocol: "", messages: [], close: null, error: null };
  const unread = [];
  const wakers = new Set();
  const wake = () => wakers.forEach((waker) => waker());
  let closed = false;

  /** Waits until `condition` gives something else than undefined; the time-out names what was awaited. */
  const until = (what, condition) =>
    new Promise((resolve, reject) => {
      const timer = setTimeout(() => finish(reject, new Error(`no ${what} within ${timeoutMs} ms`)), timeoutMs);
      const finish = (settle, value) => {
        clearTimeout(timer);
        wakers.delete(check);
        settle(value);
      };
      const check = () => {
        try {
          const value = condition();
          if (value !== undefined) finish(resolve, value);
        } catch (error) {
          // Thrown from here it would end the program without a result: this runs inside the socket's events.
          finish(reject, error);
        }
      };
      wakers.add(check);
      check();
    });

  // A pattern with a period prime to every buffer size, so that lost, doubled or moved bytes show.
  const bytesOf = (length) => Uint8Array.from({ length }, (_, index) => index % 251);
  const textOf = (length) => "abcdefghijklmnopqrstuvwxyz0123456789-".repeat(Math.ceil(length / 37)).slice(0, length);
  const payloadOf = (value) => {
    if (typeof value === "string") return value;
    if (typeof value?.bytes === "number") return bytesOf(value.bytes);
    if (typeof value?.text_length === "number") return textOf(value.text_length);
    throw new Error(`not a payload: ${JSON.stringify(value)}`);
  };
  const describe = (payload) =>
    typeof payload === "string"
      ? { type: "text", length: new TextEncoder().encode(payload).length, head: payload.slice(0, 200) }
      : { type: "binary", length: payload.length };
  const same = (left, right) =>
    typeof left === typeof right && left.length === right.length &&
    (typeof left === "string" ? left === right : left.every((byte, index) => byte === right[index]));

  const socket = open();
  socket.binaryType = "arraybuffer";
  socket.addEventListener("open", () => {
    Object.assign(result, { opened: true, extensions: socket.extensions, protocol: socket.protocol });
    wake();
  });
  socket.addEventListener("message", ({ data }) => {
    const payload = typeof data === "string" ? data : new Uint8Array(data);
    result.messages.push({ ...describe(payload), at_ms: Date.now() });
    unread.push(payload);
    wake();
  });
  socket.addEventListener("error", (event) => {
    result.error ??= event.message || "the socket reported an error";
  });
  socket.addEventListener("close", ({ code, reason, wasClean }) => {
    result.close = { code, reason, clean: wasClean };
    closed = true;
    wake();
  });

  const nextMessage = () =>
    until("message", () => {
      if (unread.length > 0) return unread.shift();
      if (closed) throw new Error(`closed with ${result.close.code} instead of a message`);
    });
  const steps = {
    send: (value) => socket.send(payloadOf(value)),
    send_fragments: (values) => host.sendFragments(values.map(payloadOf)),
    expect: async (value) => {
      const [wanted, got] = [payloadOf(value), await nextMessage()];
      if (!same(wanted, got)) {
        throw new Error(`expected ${JSON.stringify(describe(wanted))}, got ${JSON.stringify(describe(got))}`);
      }
    },
    expect_messages: async (count) => {
      for (let index = 0; index < count; index += 1) await nextMessage();
    },
    close: (value) => (typeof value === "object" ? socket.close(value.code, value.reason) : socket.close(value)),
    wait_close: () => until("close", () => closed || undefined),
    mark: (name) => host.mark(name),
    wait_stdin: () => host.wait(),
    ping: (text) => host.ping(text),
    terminate: () => host.terminate(),
  };

  try {
    await until("open", () => result.opened || closed || undefined);
    for (const step of result.opened ? scenario.steps ?? [] : []) {
      const [[name, value]] = Object.entries(step);
      if (!Object.hasOwn(steps, name)) throw new Error(`unknown step ${name}`);
      await steps[name](value);
    }
    if (!closed) socket.close(1000);
    await until("close", () => closed || undefined);
    result.ok = result.opened;
  } catch (error) {
    result.error = String(error.message ?? error);
    socket.close();
  }
  return result;
}
