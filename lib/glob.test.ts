import assert from "node:assert/strict";
import { test } from "node:test";
import { globExpression } from "./glob.js";

const matches = (pattern: string, path: string) => globExpression(pattern).test(path);

test("a star and a question mark stay within a component", () => {
  assert(matches("/opt/*/bin/qemu-*", "/opt/kata/bin/qemu-system-x86_64"));
  assert(matches("/opt/kata?", "/opt/kata2"));
  assert(!matches("/opt/*", "/opt/kata/bin"));
  assert(!matches("/opt?kata", "/opt/kata"));
});

test("a pattern is for the whole path", () => {
  assert(!matches("/usr/bin/qemu", "/usr/bin/qemu-evil"));
  assert(!matches("/usr/bin/qemu", "/tmp/usr/bin/qemu"));
  assert(!matches("/usr/bin/qemu", "/usr/bin/qemu\n"));
});

test("sets, their ranges and their opposites", () => {
  assert(matches("/v[0-9]", "/v3"));
  assert(!matches("/v[0-9]", "/va"));
  assert(matches("/v[!0-9]", "/va"));
  assert(!matches("/v[!a]x", "/v/x"), "a set does not match a slash");
  assert(matches("/[]]", "/]"));
  assert(matches("/[^]", "/^"));
  assert(matches("/[a", "/[a"), "an open bracket alone is itself");
});

test("what is special to regular expressions is not special here", () => {
  for (const path of ["/a.b", "/a+b", "/a(b)", "/a|b", "/a{2}", "/a$", "/^a"]) assert(matches(path, path));
  assert(!matches("/a.b", "/axb"));
  assert(matches("/a\\*", "/a*"));
  assert(!matches("/a\\*", "/ab"));
});
