import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { DatagramReceiver } from "../lib/sys/testing/datagram-receiver.js";
import { createLog } from "./log.js";

test("syslog gets the lines that are important enough, one packet each, with their severities", (t) => {
  const dir = mkdtempSync(join(tmpdir(), "kata-fsd-"));
  t.after(() => rmSync(dir, { recursive: true }));
  const path = join(dir, "log");
  const receiver = new DatagramReceiver(path);
  t.after(() => receiver.close());
  const log = createLog("info", path);
  log.debug("unimportant");
  log.warn("careful");
  log.error("first\nsecond");
  assert.equal(log.trace, undefined);
  const expected = [
    /^<28>\w{3} [ \d]\d \d\d:\d\d:\d\d kata-fsd\[\d+\]: careful$/,
    /^<27>.*: first$/,
    /^<27>.*: second$/,
  ];
  const packets = receiver.received();
  assert.equal(packets.length, expected.length);
  for (const [index, pattern] of expected.entries()) assert.match(packets[index] ?? "", pattern);
});
