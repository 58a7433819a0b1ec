// What the two clients share on Node's side: the scenario from the command line, marks to stdout, lines from stdin.

import { createInterface } from "node:readline";

/** The scenario given as the only argument, JSON. */
export function scenarioFromArguments() {
  try {
    return JSON.parse(process.argv[2]);
  } catch (error) {
    console.error(`usage: node ${process.argv[1]} '{"url":"ws://…","steps":[…]}' (${error.message})`);
    process.exit(2);
  }
}

/** Prints one line of JSON. */
export function print(value) {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}

/** Resolves with the next line of stdin, or at its end: a test that died must not leave its client behind. */
export function lineReader() {
  let lines;
  return async () => {
    lines ??= createInterface({ input: process.stdin })[Symbol.asyncIterator]();
    await lines.next();
  };
}
