import assert from "node:assert/strict";
import { test } from "node:test";
import { formatJson } from "../../shim/log/logfmt.js";
import { wantsColour } from "../terminal.js";
import { formatHistory } from "./format.js";

const TIME = new Date("2026-11-23T04:05:06.789Z");
const LINES = [
  formatJson(TIME, "info", "sandbox is up", { sandbox: "s" }),
  formatJson(TIME, "error", "lost \u001b[2J sight", { sandbox: "s", container: "c1" }),
];
/** As a history begins whose oldest line is cut. */
const HISTORY = `est":1}\n${LINES.join("\n")}\n`;

test("a history is told as logfmt, or as it is, without a line that is cut", () => {
  assert.equal(
    formatHistory(HISTORY, "plain"),
    `time="2026-11-23T04:05:06.789Z" level=info msg="sandbox is up" sandbox=s\n` +
      `time="2026-11-23T04:05:06.789Z" level=error msg="lost \\u001b[2J sight" sandbox=s container=c1\n`,
  );
  assert.equal(formatHistory(HISTORY, "json"), `${LINES.join("\n")}\n`);
  assert.equal(formatHistory("", "json"), "");
});

test("the lines of a container can be told apart", () => {
  assert.match(formatHistory(HISTORY, "plain", { container: "c1" }), /^time=\S+ level=error .*\n$/);
});

test("colours are for terminals, and only where they are wanted", () => {
  const [plain = "", coloured = ""] = formatHistory(HISTORY, "coloured").split("\n");
  assert.ok(plain.startsWith("time="));
  assert.ok(coloured.startsWith("\u001b[31mtime=") && coloured.endsWith("\u001b[0m"));
  assert.ok(wantsColour({ isTTY: true }, { TERM: "xterm" }));
  assert.ok(!wantsColour({ isTTY: true }, { TERM: "xterm", NO_COLOR: "1" }));
  assert.ok(!wantsColour({}, {}));
});
