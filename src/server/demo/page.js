// The demo page: one WebSocket to one of this gateway's endpoints, and everything a browser can tell about it.
// What was received is only ever put into the page as text.

/** The log keeps so many entries, and so much of each. */
const ENTRIES_MAX = 200;
const CHARACTERS_SHOWN_MAX = 2000;
const BYTES_SHOWN_MAX = 64;
/** Sent messages that are waiting to come back; older ones are given up. */
const AWAITED_MAX = 200;
/** A longer name is refused by every endpoint, and a browser would not tell why. In UTF-8, unlike the field's `maxlength`. */
const USER_BYTES_MAX = 128;

/** @type {Record<string, HTMLElement>} every element of the page with an id, by that id */
const view = Object.fromEntries([...document.querySelectorAll("[id]")].map((element) => [element.id, element]));

/** The present connection, or the last one; null before the first. */
let connection = null;

class Connection {
  constructor(endpoint, user) {
    this.user = user;
    this.path = endpoint.value;
    this.returns = endpoint.dataset.returns;
    this.opened = false;
    this.byUs = false;
    this.awaited = [];
    this.roundTrips = { count: 0, fastest: Infinity };
    this.sent = { messages: 0, bytes: 0 };
    this.received = { messages: 0, bytes: 0 };
    const url = new URL(this.path, location.href.replace(/^http/, "ws"));
    url.search = user ? `?${new URLSearchParams({ user_id: user })}` : "";
    this.began = performance.now();
    this.socket = new WebSocket(url);
    this.socket.binaryType = "arraybuffer";
    this.socket.onopen = () => this.open();
    this.socket.onmessage = ({ data }) => this.receive(data, performance.now());
    this.socket.onclose = (event) => this.ended(event);
    note(`connecting to ${url}`);
    show(this, "busy", "Connecting …");
  }

  open() {
    this.opened = true;
    const [name, ...parameters] = this.socket.extensions.split(/\s*;\s*/);
    view.compression.textContent = name || "none";
    view["compression-note"].textContent = parameters.join("; ") || (name ? "" : "the gateway declined the browser’s offer");
    view["rtt-note"].textContent = ROUND_TRIP_NOTES[this.returns];
    const took = `${milliseconds(performance.now() - this.began)} for TCP, TLS and handshake`;
    note(`open, after ${took}`);
    show(this, "open", this.user ? `Connected as ${this.user}` : "Connected");
  }

  send(text) {
    const bytes = new TextEncoder().encode(text).length;
    count(this.sent, view.sent, bytes);
    if (this.returns) this.awaited = [...this.awaited.slice(1 - AWAITED_MAX), { text, at: performance.now() }];
    this.socket.send(text);
    log("out", "sent · text", size(bytes), text);
  }

  receive(data, at) {
    const isText = typeof data === "string";
    const bytes = isText ? new TextEncoder().encode(data).length : data.byteLength;
    count(this.received, view.received, bytes);
    // Nothing on the wire marks an answer: it is known by its words, the oldest first.
    const answered = isText ? this.awaited.findIndex(({ text }) => text === data) : -1;
    let facts = size(bytes);
    if (answered >= 0) {
      const [{ at: sentAt }] = this.awaited.splice(answered, 1);
      facts += ` · back after ${this.measured(at - sentAt)}`;
    }
    log("in", isText ? "received · text" : "received · binary", facts, isText ? data : hexadecimal(data));
  }

  /** Shows a round trip; returns it in words. */
  measured(took) {
    this.roundTrips.count += 1;
    this.roundTrips.fastest = Math.min(this.roundTrips.fastest, took);
    const { count: times, fastest } = this.roundTrips;
    view.rtt.textContent = milliseconds(took);
    view["rtt-note"].textContent = `fastest of ${times}: ${milliseconds(fastest)}. ${ROUND_TRIP_NOTES[this.returns]}`;
    return milliseconds(took);
  }

  close() {
    this.byUs = true;
    this.socket.close(1000);
    show(this, "busy", "Closing …");
  }

  ended({ code, reason, wasClean }) {
    const [tone, title, text, next] = explain(code, this.opened, this.byUs);
    note(`closed with ${code}${reason && `: ${reason}`}`);
    show(this, tone === "bad" ? "bad" : "none", this.opened ? "Disconnected" : "Could not connect");
    view.end.dataset.tone = tone;
    view["end-code"].textContent = code;
    view["end-title"].textContent = title;
    view["end-text"].textContent = text;
    const unasked = wasClean ? "the other end, with a Close frame" : "unknown from here";
    view["end-by"].textContent = this.byUs ? "you" : unasked;
    view["end-clean"].textContent = wasClean ? "yes" : "no";
    view["end-reason"].textContent = reason || "none given";
    view["end-next"].textContent = askedDelay(reason) ?? next;
    view.end.hidden = false;
  }

  get isOver() {
    return this.socket.readyState === WebSocket.CLOSED;
  }
}

const ROUND_TRIP_NOTES = {
  "": "Cannot be measured from here: this endpoint answers nothing, and browsers answer pings unseen. " +
    "The gateway’s own measure is gaugeway_ping_rtt_seconds.",
  echo: "From send to echo, by this page’s clock.",
  broadcast: "From send to your own copy of the broadcast, by this page’s clock. Somebody else’s equal text would pass for it.",
};

/** Brings state, buttons and fields to what the connection is now. */
function show({ socket, isOver }, state, text) {
  view.state.dataset.state = state;
  view.state.textContent = text;
  view.end.hidden = true;
  view.toggle.textContent = isOver ? "Connect" : "Disconnect";
  // Not a submit button while connected: Enter in the user's field must not disconnect.
  view.toggle.type = isOver ? "submit" : "button";
  view.toggle.toggleAttribute("data-connected", !isOver);
  view.endpoint.disabled = view.user.readOnly = !isOver;
  view.send.disabled = socket.readyState !== WebSocket.OPEN;
}

function connect() {
  const [endpoint] = view.endpoint.selectedOptions;
  const user = view.user.value.trim();
  const mistake = userMistake(endpoint, user);
  userError(mistake);
  if (mistake) return view.user.focus();
  for (const id of ["rtt", "compression", "sent", "received"]) view[id].textContent = "–";
  view["rtt-note"].textContent = view["compression-note"].textContent = "";
  connection = new Connection(endpoint, user);
}

/** Why the endpoint would refuse this user; empty if it would not. */
function userMistake({ dataset }, user) {
  if ("needsUser" in dataset && !user) return "This endpoint refuses a client without a user name.";
  const bytes = new TextEncoder().encode(user).length;
  if (bytes > USER_BYTES_MAX) return `A user name has at most ${USER_BYTES_MAX} bytes; this one has ${bytes}.`;
  if (/\p{Cc}/u.test(user)) return "A user name has no control characters, such as tabs.";
  return "";
}

function userError(text) {
  view["user-error"].textContent = text;
  view["user-error"].hidden = !text;
  view.user.setAttribute("aria-invalid", String(Boolean(text)));
}

/** Describes the chosen endpoint and writes the commands that push to whoever is named. */
function describe() {
  const [{ value: path, dataset }] = view.endpoint.selectedOptions;
  view.about.textContent = `${dataset.does} Messages up to ${size(Number(dataset.maxBytes))}.`;
  view["user-need"].textContent = "needsUser" in dataset ? "(required)" : "(optional)";
  const user = view.user.value.trim();
  const text = user ? `Hello, ${user}!` : "Hello!";
  const body = JSON.stringify({ to: user ? { user } : { endpoint: path }, text });
  const { admin } = view.script.dataset;
  const url = admin === "127.0.0.1:8081" ? "" : ` --url http://${admin}`;
  view["push-to"].textContent = user || `everybody on ${path}`;
  view.curl.textContent = `curl http://${admin}/api/v1/publish \\\n  -H 'Content-Type: application/json' \\\n  -d ${quoted(body)}`;
  view.cli.textContent = `gaugeway publish${url} --to ${quoted(user ? `user:${user}` : `endpoint:${path}`)} ${quoted(text)}`;
}

/** One argument of a POSIX shell. */
function quoted(text) {
  return /^[\w.,:/@%+-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

let entries = 0;

function log(kind, what, facts, text) {
  const add = (tag, name, content) => Object.assign(document.createElement(tag), { className: name, textContent: content });
  const time = new Date().toTimeString().slice(0, 8) + `.${String(Date.now() % 1000).padStart(3, "0")}`;
  const entry = add("li", kind, "");
  entry.append(add("span", "what", what), add("span", "facts", [facts, time].filter(Boolean).join(" · ")));
  const rest = text.length - CHARACTERS_SHOWN_MAX;
  if (text) entry.append(add("pre", "", rest > 0 ? `${text.slice(0, CHARACTERS_SHOWN_MAX)}… (${rest} more characters)` : text));
  view.log.prepend(entry);
  entries += 1;
  while (view.log.children.length > ENTRIES_MAX) view.log.lastElementChild.remove();
  view.empty.hidden = true;
  if (entries > ENTRIES_MAX) view.kept.textContent = `Newest first; the last ${ENTRIES_MAX} of ${entries} are kept.`;
}

function note(text) {
  log("note", text, "", "");
}

function count(total, element, bytes) {
  total.messages += 1;
  total.bytes += bytes;
  element.textContent = `${total.messages} · ${size(total.bytes)}`;
}

function size(bytes) {
  if (bytes < 1024) return `${bytes} B`;
  const [unit, per] = bytes < 1024 ** 2 ? ["KiB", 1024] : ["MiB", 1024 ** 2];
  return `${Number((bytes / per).toFixed(1))} ${unit}`;
}

function milliseconds(time) {
  return `${time.toFixed(time < 100 ? 1 : 0)} ms`;
}

function hexadecimal(buffer) {
  const bytes = [...new Uint8Array(buffer, 0, Math.min(buffer.byteLength, BYTES_SHOWN_MAX))];
  const shown = bytes.map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
  return buffer.byteLength > BYTES_SHOWN_MAX ? `${shown} …` : shown;
}

view.connection.addEventListener("submit", (event) => {
  event.preventDefault();
  if (!connection || connection.isOver) connect();
});
view.toggle.addEventListener("click", (event) => {
  if (!connection || connection.isOver) return;
  event.preventDefault();
  connection.close();
});
view.compose.addEventListener("submit", (event) => {
  event.preventDefault();
  if (connection?.socket.readyState !== WebSocket.OPEN) return;
  connection.send(view.text.value);
  view.text.value = "";
  view.text.focus();
});
view.text.addEventListener("keydown", (event) => {
  // While an input method composes, Enter is its own.
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  view.compose.requestSubmit();
});
view.clear.addEventListener("click", () => {
  view.log.replaceChildren();
  view.empty.hidden = false;
});
view.endpoint.addEventListener("change", () => {
  userError("");
  describe();
});
view.user.addEventListener("input", describe);
for (const button of document.querySelectorAll("[data-copies]")) {
  button.addEventListener("click", async () => {
    const source = view[button.dataset.copies];
    try {
      await navigator.clipboard.writeText(source.textContent);
      view.copied.textContent = "Copied.";
    } catch {
      // Without TLS there is no clipboard: the text is marked for the copy key instead.
      getSelection().selectAllChildren(source);
      view.copied.textContent = "The browser gave no clipboard: the command is selected, copy it by hand.";
    }
  });
}
describe();
