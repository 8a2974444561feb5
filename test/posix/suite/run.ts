import { chmodSync, mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { type Group, Skipped } from "./check.js";
import type { Outcome } from "./report.js";

/** Makes every check of `groups` below `root`, each in a directory of its own. */
export async function* runChecks(groups: readonly Group[], root: string): AsyncGenerator<Outcome> {
  for (const { name, checks } of groups) {
    for (const [title, check] of Object.entries(checks)) {
      const dir = join(root, name);
      mkdirSync(dir);
      chmodSync(dir, 0o777);
      yield { name: `${name}: ${title}`, ...(await outcomeOf(() => check(dir))) };
      rmSync(dir, { recursive: true, force: true });
    }
  }
}

async function outcomeOf(check: () => void | Promise<void>): Promise<Pick<Outcome, "result" | "reason">> {
  try {
    await check();
    return { result: "ok", reason: "" };
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return { result: error instanceof Skipped ? "skipped" : "not ok", reason };
  }
}
