import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { formatLogfmt } from "./logfmt.js";

const TIME = new Date("2026-11-23T04:05:06.789Z");

test("writes what logrus writes", () => {
  assert.equal(
    formatLogfmt(TIME, "info", "sandbox is up", {
      sandbox: "pod1",
      tookMs: 3120,
      error: 'exit "1"',
      none: undefined,
    }),
    `time="2026-11-23T04:05:06.789Z" level=info msg="sandbox is up" sandbox=pod1 tookMs=3120 error="exit \\"1\\""`,
  );
});

test("no message and no field breaks the line", () => {
  fc.assert(
    fc.property(
      fc.string({ unit: "binary" }),
      fc.string({ unit: "binary" }),
      fc.string(),
      (message, value, key) => {
        const line = formatLogfmt(TIME, "info", message, { [key]: value });
        assert.equal(line.includes("\n"), false);
      },
    ),
  );
});
