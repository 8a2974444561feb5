import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { test } from "node:test";
import { keepDescriptorsFromChildren } from "./close-on-exec.js";
import { fcntl } from "./file.js";

const F_SETFD = 2;

test("a descriptor that was inherited is not passed on", (t) => {
  const fd = openSync("/etc/hostname", "r");
  t.after(() => closeSync(fd));
  fcntl(fd, F_SETFD, 0);
  const childHas = () => spawnSync("test", ["-e", `/proc/self/fd/${fd}`]).status === 0;
  assert.equal(childHas(), true);
  keepDescriptorsFromChildren();
  assert.equal(childHas(), false);
});
