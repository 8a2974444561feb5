import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, test } from "node:test";
import { OomEvents } from "./oom-events.js";

/** A directory with the file that the kernel keeps in a cgroup. */
describe("OomEvents", () => {
  let cgroup: string;
  const setKills = (count: number) =>
    writeFileSync(join(cgroup, "memory.events"), `low 0\nhigh 0\nmax 9\noom 1\noom_kill ${count}\n`);
  // The agent lives by its server; a watch alone keeps nothing running.
  let life: NodeJS.Timeout;
  beforeEach(() => {
    life = setInterval(() => {}, 1000);
    cgroup = mkdtempSync(join(tmpdir(), "oom-events-"));
    setKills(0);
  });
  afterEach(() => {
    clearInterval(life);
    rmSync(cgroup, { recursive: true, force: true });
  });

  const never = new AbortController().signal;

  test("tells in which container a process was killed", async () => {
    const events = new OomEvents();
    events.watch("c1", cgroup);
    const next = events.next(never);
    setKills(1);
    assert.equal(await next, "c1");
    events.unwatch("c1");
  });

  test("gives an event to who still listens", async () => {
    const events = new OomEvents();
    events.watch("c1", cgroup);
    const gone = new AbortController();
    const lost = events.next(gone.signal);
    gone.abort();
    await assert.rejects(lost, { name: "AbortError" });
    const next = events.next(never);
    setKills(1);
    assert.equal(await next, "c1");
    events.unwatch("c1");
  });

  test("does not watch what has no account of memory", () => {
    const events = new OomEvents();
    events.watch("c1", undefined);
    events.watch("c2", "/nonexistent/cgroup");
  });
});
