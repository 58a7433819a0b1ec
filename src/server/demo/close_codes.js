// What the end of a WebSocket means, in plain words. Part of the demo page's one script, before page.js.

/** What a close code means, how bad it is, and whether to come back: RFC 6455 §7.4.1 and IANA's registry. */
const CODES = {
  1000: ["good", "Normal closure", "The connection had done its work. Nothing went wrong.", "If you like."],
  1001: ["warn", "Going away", "The gateway is being shut down, or what held the other end is leaving.",
    "Yes, after a short random delay."],
  1002: ["bad", "Protocol error", "Frames came that RFC 6455 forbids. Browsers send none: suspect what stands between.",
    "It may happen again: find the cause first."],
  1003: ["bad", "Unsupported data", "The endpoint does not take this kind of message (text or binary).",
    "Yes, but do not send the same again."],
  1005: ["good", "No code given", "A Close frame came without a code: closed on purpose, without saying why.", "If you like."],
  1007: ["bad", "Invalid data", "A text was not UTF-8, or compressed data did not inflate.",
    "Yes, but do not send the same again."],
  1008: ["bad", "Policy violation", "A rule or a limit of the gateway was broken, such as reading too slowly; see the reason.",
    "Only once the reason is dealt with."],
  1009: ["bad", "Message too big", "A message was larger than this endpoint takes.",
    "Yes, but do not send the same again."],
  1010: ["bad", "Extension missing", "The client insisted on an extension that was not agreed.", "It would end the same way."],
  1011: ["bad", "Internal error", "The gateway met a defect, or waited in vain for this browser’s pong; see the reason.",
    "Yes, after a short random delay."],
  1012: ["warn", "Service restart", "The gateway is restarting: reconnect.",
    "Yes, after a short random delay."],
  1013: ["warn", "Try again later", "The gateway has too much to do.", "Yes, with growing, random delays."],
  1014: ["bad", "Bad gateway", "A server in between got an invalid answer.", "Yes, with growing, random delays."],
  3000: ["bad", "Unauthorized", "The token is missing, has expired or was revoked.", "With a new token."],
  4001: ["warn", "Replaced", "If the code is the gateway’s: a newer connection of the same user took this one’s place.",
    "No: the two would replace each other for ever."],
};

/** @returns {[string, string, string, string]} tone, title, explanation, whether to reconnect */
function explain(code, opened, byUs) {
  if (!opened && byUs) return ["good", "Given up", "You ended it before it was open.", "If you like."];
  if (!opened) {
    return ["bad", "Never opened",
      "Browsers do not tell why. The gateway may have refused (its log says “handshake refused”, and " +
      "gaugeway_handshakes_total counts it by outcome), or the request never reached it: then nginx’s logs know.",
      "Yes, with growing, random delays."];
  }
  if (code === 1006) {
    return ["bad", "Abnormal closure",
      "No Close frame came: the network, a proxy or a crash. The code never crosses the wire, it is the browser’s own. " +
      "The gateway’s log and gaugeway_disconnects_total say what it saw.",
      "Yes, with growing, random delays."];
  }
  if (Object.hasOwn(CODES, code)) return CODES[code];
  if (code >= 4000) return ["warn", "Application’s own", "Codes from 4000 on belong to the application: ask its documentation.",
    "As the application says."];
  if (code >= 3000) return ["warn", "Registered code", "Codes from 3000 to 3999 belong to libraries and frameworks (IANA keeps the list).",
    "As its owner says."];
  return ["bad", "Unknown code", "This code has no meaning yet.", "Yes, with growing, random delays."];
}

/** When to come back, as the gateway asked in its reason; null if it did not. */
function askedDelay(reason) {
  const [, after] = /\breconnect_after_ms=(\d{1,9})\b/.exec(reason) ?? [];
  return after === undefined ? null : `Yes, after ${(after / 1000).toFixed(1)} s: the gateway gave each client another moment.`;
}
