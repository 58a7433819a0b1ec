// Runs a scenario in a page of a real Chromium and prints the result as one line of JSON. See docs/testing.md.
//
// The page needs no web server: playwright answers for it, so it may have any origin. By default that is the host of the
// WebSocket's own URL, as for a page that the same nginx serves.

import { launch } from "./chromium-launch.mjs";
import { lineReader, print, scenarioFromArguments } from "./host.mjs";
import { runScenario } from "./scenario.mjs";

const scenario = scenarioFromArguments();
const pageUrl = scenario.page ?? `${new URL("/", scenario.url)}`.replace(/^ws/, "http");

const browser = await launch();
try {
  const context = await browser.newContext({ ignoreHTTPSErrors: scenario.insecure ?? false });
  const page = await context.newPage();
  await page.route(pageUrl, (route) => route.fulfill({ contentType: "text/html", body: "<title>scenario</title>" }));
  await page.exposeFunction("hostMark", (mark) => print({ mark }));
  await page.exposeFunction("hostWait", lineReader());
  await page.goto(pageUrl);
  // The page has no bundler: the shared function goes in as source text.
  const result = await page.evaluate(`(${inPage})(${JSON.stringify(scenario)}, ${runScenario})`);
  print({ client: `chromium ${browser.version()}`, ...result, refused: null });
} finally {
  await browser.close();
}

/** Evaluated inside the page. A browser cannot send pings nor drop its socket: those steps fail by name. */
function inPage(scenario, run) {
  const cannot = (what) => () => {
    throw new Error(`a browser cannot ${what}`);
  };
  if (scenario.compression === false) throw new Error("a browser always offers compression");
  return run(scenario, () => new WebSocket(scenario.url, scenario.protocols ?? []), {
    mark: (name) => window.hostMark(name),
    wait: () => window.hostWait(),
    ping: cannot("send a ping"),
    terminate: cannot("drop its socket"),
    sendFragments: cannot("choose its frames"),
  });
}
