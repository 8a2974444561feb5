import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { AgentError } from "../error.js";
import type { Storage } from "./storage.js";
import { StorageSet } from "./storage-set.js";

function storage(mountPoint: string, driver = "memory"): Storage {
  return { driver, driverOptions: [], source: "none", fstype: "", options: [], mountPoint };
}

function createSet() {
  const made: string[] = [];
  const detached: string[] = [];
  const drivers = new Map([
    ["memory", (each: Storage) => void made.push(each.mountPoint)],
    [
      "broken",
      () => {
        throw new AgentError("INTERNAL", "no such device");
      },
    ],
  ]);
  return { set: new StorageSet(drivers, (mountPoint) => void detached.push(mountPoint)), made, detached };
}

describe("StorageSet", () => {
  test("makes a storage once for all its users", () => {
    const { set, made } = createSet();
    set.acquire([storage("/nowhere/a")]);
    set.acquire([storage("/nowhere/a"), storage("/nowhere/b")]);
    assert.deepEqual(made, ["/nowhere/a", "/nowhere/b"]);
  });

  test("makes it anew after its last user went", () => {
    const { set, made, detached } = createSet();
    const first = set.acquire([storage("/nowhere/a")]);
    const second = set.acquire([storage("/nowhere/a")]);
    set.release(first);
    set.acquire([storage("/nowhere/a")]);
    assert.deepEqual(detached, []);
    set.release(second);
    set.release(second);
    assert.deepEqual(detached, ["/nowhere/a"]);
    set.acquire([storage("/nowhere/a")]);
    assert.equal(made.length, 2);
  });

  test("keeps a pod's volume in memory for the next container", () => {
    const { set, made, detached } = createSet();
    const volume = storage("/run/kata-containers/sandbox/ephemeral/cache");
    set.release(set.acquire([volume]));
    set.release(set.acquire([volume]));
    assert.deepEqual([made.length, detached.length], [1, 0]);
  });

  test("releases what it made, last first, when a later one fails", () => {
    const { set, made, detached } = createSet();
    const storages = [storage("/nowhere/a"), storage("/nowhere/b"), storage("/nowhere/c", "broken")];
    assert.throws(() => set.acquire(storages), /no such device/);
    assert.deepEqual(made, ["/nowhere/a", "/nowhere/b"]);
    assert.deepEqual(detached, ["/nowhere/b", "/nowhere/a"]);
  });

  test("refuses a driver that it does not know, by name", () => {
    const { set } = createSet();
    assert.throws(
      () => set.acquire([storage("/nowhere/a", "blk")]),
      (error: unknown) =>
        error instanceof AgentError && error.code === "UNIMPLEMENTED" && /"blk"/.test(error.message),
    );
  });
});
