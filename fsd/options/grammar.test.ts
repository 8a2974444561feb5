import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { OptionsError } from "./error.js";
import { parseArguments } from "./grammar.js";

const syntax = {
  path: { value: "PATH" },
  mode: { value: "MODE", valueIsOptional: true },
  on: {},
  off: {},
  help: { letter: "h" },
  o: { letter: "o", value: "LIST" },
  gone: { refused: "it is gone" },
} as const;

test("a value follows an equals sign or is the next word, whatever it looks like", () => {
  const anything = fc.string({ unit: "grapheme" });
  fc.assert(
    fc.property(anything, (value) => {
      assert.equal(parseArguments(["--path", value], syntax).text("path"), value);
      assert.equal(parseArguments([`--path=${value}`], syntax).text("path"), value);
    }),
  );
});

test("a later option overrides an earlier one; all are there for those who want them", () => {
  const given = parseArguments(["--path=a", "--on", "--path", "b", "--off"], syntax);
  assert.equal(given.text("path"), "b");
  assert.deepEqual(given.all("path"), ["a", "b"]);
  assert.equal(given.isOn("on", "off", true), false);
  assert.equal(parseArguments(["--off", "--on"], syntax).isOn("on", "off", false), true);
  assert.equal(parseArguments([], syntax).isOn("on", "off", true), true);
  assert.equal(given.has("help"), false);
});

test("an optional value is never the next word", () => {
  const given = parseArguments(["--mode", "--on"], syntax);
  assert.equal(given.text("mode"), "");
  assert.equal(given.has("on"), true);
  assert.equal(parseArguments(["--mode=auto"], syntax).text("mode"), "auto");
});

test("letters stand for options", () => {
  const given = parseArguments(["-h", "-o", "a=b,c"], syntax);
  assert.equal(given.has("help"), true);
  assert.equal(given.text("o"), "a=b,c");
});

test("what is not an option, not known, not complete, or not supported is refused by its name", () => {
  const wrong: Record<string, [argv: string[], message: RegExp]> = {
    "a word": [["share"], /^share: an option is expected/],
    "an unknown option": [["--pat=x"], /^--pat: no such option; the nearest one is --path$/],
    "an unknown letter": [["-x"], /^-x: no such option/],
    "a long name with one dash": [["-path", "x"], /^-path: no such option; the nearest one is --path$/],
    "two dashes alone": [["--"], /no such option/],
    "an empty word": [[""], /an option is expected/],
    "a missing value": [["--on", "--path"], /^--path needs a value: --path=PATH$/],
    "a value for a switch": [["--on=yes"], /^--on takes no value$/],
    "what is not supported": [["--gone"], /^--gone is not supported: it is gone$/],
    "a name of every object": [["--constructor"], /^--constructor: no such option/],
  };
  for (const [what, [argv, message]] of Object.entries(wrong)) {
    assert.throws(
      () => parseArguments(argv, syntax),
      (error) => error instanceof OptionsError && message.test(error.message),
      what,
    );
  }
});

test("any command line is parsed or refused", () => {
  const word = fc.oneof(
    fc.string(),
    fc.constantFrom("--path", "--path=", "--mode", "--on", "-h", "-o", "--gone", "--", "-", "="),
  );
  fc.assert(
    fc.property(fc.array(word), (argv) => {
      try {
        parseArguments(argv, syntax);
      } catch (error) {
        assert.ok(error instanceof OptionsError);
      }
    }),
  );
});
