import assert from "node:assert/strict";
import { test } from "node:test";
import { SetupError } from "../setup-error.js";
import { parseRunRequest } from "./arguments.js";

test("no words: the demonstration", () => {
  assert.deepEqual(parseRunRequest([]), { command: undefined, terminal: false });
});

test("a command keeps its own flags", () => {
  assert.deepEqual(parseRunRequest(["ls", "-it", "--", "/"]), {
    command: ["ls", "-it", "--", "/"],
    terminal: false,
  });
});

test("terminal flags in every spelling", () => {
  for (const flags of [["-it"], ["-ti"], ["-i", "-t"], ["-t"]]) {
    assert.deepEqual(parseRunRequest([...flags, "sh"]), { command: ["sh"], terminal: true });
  }
  assert.equal(parseRunRequest(["-i", "sh"]).terminal, false);
});

test("two dashes end the flags", () => {
  assert.deepEqual(parseRunRequest(["-t", "--", "-odd"]), { command: ["-odd"], terminal: true });
});

test("an unknown flag and flags without a command are refused", () => {
  assert.throws(() => parseRunRequest(["--rm", "sh"]), SetupError);
  assert.throws(() => parseRunRequest(["-it"]), /no command/);
  assert.throws(() => parseRunRequest(["--"]), /no command/);
});
