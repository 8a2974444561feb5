import assert from "node:assert/strict";
import { test } from "node:test";
import { parseArgs, requireIdentifier, UsageError } from "./args.js";

const START =
  "-namespace k8s.io -address /run/c.sock -publish-binary /usr/bin/containerd -id pod1 start".split(" ");

test("reads the command line that containerd writes for start", () => {
  assert.deepEqual(parseArgs(START), {
    action: "start",
    id: "pod1",
    namespace: "k8s.io",
    address: "/run/c.sock",
    publishBinary: "/usr/bin/containerd",
    bundle: "",
    debug: false,
  });
});

test("reads delete with its bundle and -debug", () => {
  const args = parseArgs("-namespace n -address /a -id i -bundle /b -debug delete".split(" "));
  assert.equal(args.action, "delete");
  assert.equal(args.bundle, "/b");
  assert.equal(args.debug, true);
});

test("takes two dashes, the = form and an explicit boolean, as Go's flag package does", () => {
  const args = parseArgs(["--id=a", "--namespace", "n", "-address=/x=y", "-debug=false", "--", "start"]);
  assert.equal(args.id, "a");
  assert.equal(args.address, "/x=y");
  assert.equal(args.debug, false);
});

test("recognises the flags that need no action", () => {
  assert.equal(parseArgs(["-info"]).action, "info");
  assert.equal(parseArgs(["-v"]).action, "version");
  assert.equal(parseArgs(["--version"]).action, "version");
  assert.equal(parseArgs(["-help"]).action, "help");
});

const REFUSED: readonly [string, readonly string[], RegExp][] = [
  ["an unknown flag", ["-colour", "red", "start"], /unknown flag -colour; known flags are -id/],
  ["a flag without its value", ["-id"], /flag -id needs a value/],
  ["a boolean that is none", ["-debug=maybe", "start"], /flag -debug is true or false, not "maybe"/],
  ["no action", START.slice(0, -1), /no action given/],
  ["an unknown action", [...START.slice(0, -1), "stop"], /unknown action "stop"/],
  ["a word too many", [...START, "again"], /unexpected argument "again" after start/],
  ["a missing id", ["-namespace", "n", "-address", "/a", "start"], /-id is needed/],
  ["a missing address", ["-namespace", "n", "-id", "i", "start"], /-address is needed/],
  [
    "an id that leaves its directory",
    ["-namespace", "n", "-address", "/a", "-id", "../x", "start"],
    /no identifier/,
  ],
];

for (const [what, argv, message] of REFUSED) {
  test(`refuses ${what}`, () => {
    assert.throws(
      () => parseArgs(argv),
      (error) => error instanceof UsageError && message.test(error.message),
    );
  });
}

test("identifiers follow containerd's rule", () => {
  for (const good of ["a", "A1", "a.b_c-d", "x".repeat(76)]) requireIdentifier("id", good);
  for (const bad of ["", ".", "..", "-a", "a-", "a--b", "a/b", "a b", "a\n", "x".repeat(77)]) {
    assert.throws(() => requireIdentifier("id", bad), UsageError, bad);
  }
});
