import assert from "node:assert/strict";
import { test } from "node:test";
import { Severity, Syslog, syslogPacket } from "./syslog.js";

test("a packet has priority, local time, tag and process, and at most 1024 bytes", () => {
  const date = new Date(2026, 1, 3, 4, 5, 6);
  assert.equal(
    syslogPacket("kata-fsd", 42, Severity.warning, date, "grüße").toString(),
    "<28>Feb  3 04:05:06 kata-fsd[42]: grüße",
  );
  assert.equal(syslogPacket("kata-fsd", 42, Severity.error, date, "x".repeat(5000)).length, 1024);
});

test("where nobody listens there is no log", () => {
  assert.throws(() => Syslog.connect("test", "/nonexistent/log"), { code: "ENOENT" });
});
