// How the tests start Chromium.

import { chromium } from "playwright-core";

/** A headless Chromium; the caller closes it. */
export function launch() {
  return chromium.launch({
    executablePath: process.env.PART_CHROMIUM ?? "/usr/bin/chromium",
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--disable-dev-shm-usage",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
      // A page of another origin would be asked for permission before it may reach a loopback address.
      "--disable-features=LocalNetworkAccessChecks",
    ],
  });
}
