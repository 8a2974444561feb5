import assert from "node:assert/strict";
import { test } from "node:test";
import { chooseMirror, parseSources } from "./mirror.js";

const FRESH_MACHINE = `\
http://mirror.example/debian/|bookworm|main|$(ORIGIN)
http://mirror.example/debian/|bookworm-updates|main|$(ORIGIN)
http://security.example/debian-security/|bookworm-security|main|$(ORIGIN)
`;

test("a machine that never updated its lists: the mirror is told by its address", () => {
  const sources = parseSources(FRESH_MACHINE);
  assert.equal(sources.length, 3);
  assert.equal(sources[0]?.origin, undefined);
  assert.equal(chooseMirror(sources, "bookworm"), "http://mirror.example/debian/");
});

test("others' repositories and the security archive are never taken for the mirror", () => {
  const sources = parseSources(`\
https://deb.nodesource.com/node_20.x/|nodistro|main|. nodistro
https://other.example/debian/|bookworm|main|Somebody
http://security.example/debian-security/|bookworm-security|main|Debian
http://mirror.example/some/path|bookworm|contrib|Debian
`);
  assert.equal(chooseMirror(sources, "bookworm"), undefined);
});

test("the suite of this release is preferred, and the address gets one slash at its end", () => {
  const sources = parseSources(`\
http://old.example/debian|bullseye|main|Debian
http://new.example/archive//|bookworm|main|Debian
`);
  assert.equal(chooseMirror(sources, "bookworm"), "http://new.example/archive/");
  assert.equal(chooseMirror(sources, "trixie"), "http://old.example/debian/");
});
