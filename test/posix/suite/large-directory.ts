import assert from "node:assert/strict";
import { closeSync, openSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { SEEK_SET } from "../../../lib/sys/file.js";
import { readEntries, seek } from "./calls.js";
import { Peer } from "./peer.js";
import { format } from "./report.js";
import { outcomeOf } from "./run.js";

/** The word on the command line that has a directory of many entries checked. */
export const LARGE_DIRECTORY = "--large-directory";
/** What the names that stay begin with; a number follows, from 0 on without a gap. */
export const STAYS = "stays-";

const BUFFER_BYTES = 1 << 16;
/** Every so often the reader goes to the beginning and back to where the last entry says. */
const PIECES_BETWEEN_SEEKS = 50;
const CHURN_MS = 1000;

/** Reads the directory while another process makes and removes names in it, and tells what came of it. */
export async function checkLargeDirectory(dir: string): Promise<void> {
  const peer = Peer.start();
  let count = 0;
  const outcome = await outcomeOf(async () => {
    let isOver = false;
    const churning = (async () => {
      let made = 0;
      while (!isOver) made += await peer.call("churn", dir, CHURN_MS);
      return made;
    })();
    const seen = await namesThatStay(dir);
    isOver = true;
    count = seen.length;
    assert.ok((await churning) > 0);
    assert.equal(new Set(seen).size, count);
    assert.equal(
      seen.reduce((max, number) => Math.max(max, number), 0),
      count - 1,
    );
  });
  await peer.kill();
  console.log(format({ name: `entries that stay: ${count}`, ...outcome }));
}

/** The numbers of the names that stay, in the order in which they are told. */
async function namesThatStay(dir: string): Promise<number[]> {
  const fd = openSync(dir, "r");
  const seen: number[] = [];
  for (let piece = 0; ; piece++) {
    const entries = readEntries(fd, BUFFER_BYTES);
    if (entries.length === 0) break;
    for (const { name } of entries) if (name.startsWith(STAYS)) seen.push(Number(name.slice(STAYS.length)));
    if (piece % PIECES_BETWEEN_SEEKS === 0) {
      seek(fd, 0, SEEK_SET);
      readEntries(fd, BUFFER_BYTES);
      seek(fd, entries.at(-1)?.next ?? 0n, SEEK_SET);
    }
    await delay(0);
  }
  closeSync(fd);
  return seen;
}
