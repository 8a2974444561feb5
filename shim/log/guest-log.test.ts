import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { guestLog, LINES_PER_SECOND_MAX, parseAgentLine } from "./guest-log.js";
import type { LogFields } from "./logfmt.js";

function recorder() {
  const lines: { level: string; message: string; fields: LogFields | undefined }[] = [];
  const record = (level: string) => (message: string, fields?: LogFields) =>
    void lines.push({ level, message, fields });
  const logger = {
    error: record("error"),
    warn: record("warn"),
    info: record("info"),
    debug: record("debug"),
  };
  return { lines, logger };
}

test("our agent's lines and those of Kata's are logged at their levels, the kernel's as debug", () => {
  const { lines, logger } = recorder();
  const log = guestLog(logger);
  log(
    '{"time":"2026-11-23T04:05:06.789Z","level":"warn","msg":"call failed","method":"Exec","error":"gone"}',
  );
  log(
    '{"msg":"announce","level":"DEBG","ts":"2026-11-23T04:05:06.7Z","version":"0.1.0","source":"agent","pid":"1","name":"kata-agent","subsystem":"root","agent-version":"3.32.0"}',
  );
  log("[    0.731] virtiofs virtio1: discovering new tag: kataGuest");
  assert.deepEqual(lines, [
    {
      level: "warn",
      message: "call failed",
      fields: { source: "agent", "agent.method": "Exec", "agent.error": "gone" },
    },
    {
      level: "debug",
      message: "announce",
      fields: { source: "agent", "agent.subsystem": "root", "agent.agent-version": "3.32.0" },
    },
    {
      level: "debug",
      message: "[    0.731] virtiofs virtio1: discovering new tag: kataGuest",
      fields: { source: "console" },
    },
  ]);
});

test("what an agent dumps of a container is not logged, nor does a guest choose our own fields", () => {
  const { lines, logger } = recorder();
  const line = JSON.stringify({
    ...{ msg: 'receive createcontainer, spec: Spec { env: Some(["KEY=secret"]) }', level: "INFO" },
    ...{ request: 'ExecProcessRequest { args: ["secret"] }', sandbox: "another", container: "another" },
  });
  guestLog(logger)(line);
  assert.ok(!JSON.stringify(lines).includes("secret"));
  assert.deepEqual(lines[0]?.fields, {
    ...{ source: "agent", "agent.request": "…", "agent.sandbox": "another", "agent.container": "another" },
  });
});

test("a guest that floods its console is not listened to for the rest of the second, which is told", () => {
  const { lines, logger } = recorder();
  let nowMs = 5_000;
  const log = guestLog(logger, () => nowMs);
  for (let count = 0; count < LINES_PER_SECOND_MAX + 7; count++) log("again");
  assert.equal(lines.length, LINES_PER_SECOND_MAX);
  nowMs += 1_000;
  log("later");
  assert.deepEqual(
    lines.slice(-2).map(({ level, message, fields }) => [level, message, fields?.["linesLeftOut"]]),
    [
      ["warn", "the guest writes too much to its console", 7],
      ["debug", "later", undefined],
    ],
  );
});

test("no line of a guest makes it fail, or grows", () => {
  fc.assert(
    fc.property(fc.oneof(fc.string({ unit: "binary" }), fc.json()), (text) => {
      parseAgentLine(text);
      const entry = parseAgentLine(JSON.stringify({ level: text, msg: text.repeat(50), more: text }));
      assert.ok(entry !== undefined && entry.message.length <= 512);
    }),
  );
});
