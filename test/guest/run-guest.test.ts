import assert from "node:assert/strict";
import { test } from "node:test";
import { toolchain } from "../e2e/machine.js";
import { runGuest } from "./run-guest.js";

test("a guest runs a script; its output and exit status come back", async () => {
  const { qemu, kernel, guestRoot: tools } = await toolchain();
  const script = `uname -s; cat /etc/given; exit 7`;
  const files = { "/etc/given": new URL("../../LICENSE", import.meta.url).pathname };
  const { status, output, console } = await runGuest({
    qemu,
    kernel,
    tools,
    script,
    files,
    timeLimitMs: 40000,
  });
  assert.equal(status, 7, console);
  assert.match(output, /^Linux\n\s+Apache License\n/);
});

test("a guest that ends before its script does has no exit status", async () => {
  const { qemu, kernel, guestRoot: tools } = await toolchain();
  const { status, console } = await runGuest({
    qemu,
    kernel,
    tools,
    script: "echo c >/proc/sysrq-trigger; sleep 60",
    timeLimitMs: 40000,
  });
  assert.equal(status, undefined);
  assert.match(console, /sysrq/i);
});
