import { chmodSync, mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { type Check, type Group, type Places, Skipped } from "./check.js";
import type { Outcome } from "./report.js";

/** Makes every check of `groups`. */
export async function* runChecks(groups: readonly Group[], places: Places): AsyncGenerator<Outcome> {
  for (const { name, place = "work", checks } of groups) {
    for (const [title, check] of Object.entries(checks)) {
      const run =
        place === "fixed" ? () => check(places.fixed) : inNewDirectory(join(places[place], name), check);
      yield { name: `${name}: ${title}`, ...(await outcomeOf(run)) };
    }
  }
}

function inNewDirectory(dir: string, check: Check): () => Promise<void> {
  return async () => {
    mkdirSync(dir);
    chmodSync(dir, 0o777);
    try {
      await check(dir);
    } finally {
      rmSync(dir, { recursive: true, force: true });
    }
  };
}

/** What comes of a check. */
export async function outcomeOf(
  check: () => void | Promise<void>,
): Promise<Pick<Outcome, "result" | "reason">> {
  try {
    await check();
    return { result: "ok", reason: "" };
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return { result: error instanceof Skipped ? "skipped" : "not ok", reason };
  }
}
