// Uses a real page in a real Chromium as a person would, and prints what came of it as one line of JSON. See
// docs/testing.md.

import { launch } from "./chromium-launch.mjs";
import { lineReader, print, scenarioFromArguments } from "./host.mjs";

/** More presses than any page under test has places for the focus. */
const TABS_MAX = 60;

const scenario = scenarioFromArguments();
const timeout = scenario.timeout_ms ?? 10_000;
const wait = lineReader();
const browser = await launch();
const result = { client: `chromium ${browser.version()}`, ok: false, values: [], problems: [], error: null };
try {
  const context = await browser.newContext({
    ignoreHTTPSErrors: scenario.insecure ?? false,
    viewport: scenario.viewport ?? { width: 1280, height: 900 },
    colorScheme: scenario.colors ?? "light",
  });
  context.setDefaultTimeout(timeout);
  const page = await context.newPage();
  // Violations of a Content-Security-Policy are among them.
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) result.problems.push(message.text());
  });
  page.on("pageerror", (error) => result.problems.push(`thrown: ${error.message}`));
  page.on("requestfailed", (request) => result.problems.push(`failed: ${request.url()}`));
  await page.goto(scenario.url);
  for (const step of scenario.steps ?? []) await perform(page, step);
  result.ok = true;
} catch (error) {
  result.error = String(error.message ?? error);
} finally {
  await browser.close();
}
print(result);
// A stdin that stays open would keep the program alive.
process.exit(0);

async function perform(page, step) {
  const [[name, value]] = Object.entries(step);
  const steps = {
    fill: ([selector, text]) => page.fill(selector, text),
    fill_length: ([selector, length]) => page.fill(selector, "abcdefghij".repeat(Math.ceil(length / 10)).slice(0, length)),
    select: ([selector, choice]) => page.selectOption(selector, choice),
    click: (selector) => page.click(selector),
    type: (text) => page.keyboard.type(text),
    press: (key) => page.keyboard.press(key),
    tab_to: (selector) => tabTo(page, selector),
    wait_text: ([selector, text]) => page.locator(selector).filter({ hasText: text }).first().waitFor(),
    wait_count: ([selector, count]) => page.locator(selector).nth(count - 1).waitFor(),
    read: async (selector) => result.values.push(await page.locator(selector).first().innerText()),
    read_all: async (selector) => result.values.push(await page.locator(selector).allInnerTexts()),
    evaluate: async (expression) => result.values.push(await page.evaluate(expression)),
    screenshot: (path) => page.screenshot({ path, fullPage: true }),
    mark: (mark) => print({ mark }),
    wait_stdin: wait,
  };
  if (!Object.hasOwn(steps, name)) throw new Error(`unknown step ${name}`);
  try {
    await steps[name](value);
  } catch (error) {
    throw new Error(`${JSON.stringify(step)}: ${error.message}`);
  }
}

/** Moves the focus with the Tab key alone; fails where it never gets there. */
async function tabTo(page, selector) {
  for (let presses = 0; presses < TABS_MAX; presses += 1) {
    await page.keyboard.press("Tab");
    if (await page.locator(selector).evaluate((element) => element === document.activeElement)) return;
  }
  throw new Error("the Tab key does not get there");
}
