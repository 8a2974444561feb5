import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import {
  configVersionOf,
  hasRuntime,
  runtimeTables,
  withoutRuntime,
  withRuntime,
} from "./containerd-config.js";

const RUNTIME = { handler: "kata-fs", configPath: "/etc/kata-fs/config.yaml" };
const TABLES = runtimeTables(2, RUNTIME);

const add = (toml: string, handler = "kata-fs") => withRuntime(toml, TABLES, handler, "config.toml");

test("the files in configs/ say what an installation writes", () => {
  for (const [version, name] of [
    [2, "containerd-1.toml"],
    [3, "containerd-2.toml"],
  ] as const) {
    const text = readFileSync(new URL(`../../configs/${name}`, import.meta.url), "utf8");
    const tables = text.slice(text.indexOf("[plugins"));
    assert.equal(tables, runtimeTables(version, RUNTIME), name);
  }
});

test("what was there before comes back byte for byte", () => {
  for (const toml of [
    "version = 2\n",
    "version = 2",
    'version = 2\n\n\n[plugins."io.containerd.grpc.v1.cri"]\n  sandbox_image = "x" # y\n\n',
    "# END kata-fs\nversion = 2\n",
  ]) {
    const added = add(toml);
    assert(added.startsWith(toml), "nothing that was there is moved");
    assert(hasRuntime(added, "kata-fs", "x"));
    assert.equal(withoutRuntime(added), toml);
  }
});

test("a second time replaces the first", () => {
  const once = add("version = 2\n");
  assert.equal(add(once), once);
  assert.equal(withoutRuntime(once), "version = 2\n");
});

test("containerd 1.x keeps the default runtime that it would lose", () => {
  assert(hasRuntime(add("version = 2\n"), "runc", "c"));
  const own = 'version = 2\n[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.crun]\n';
  assert(!hasRuntime(add(own), "runc", "c"), "who names runtimes names all");
  const second = withRuntime("version = 3\n", runtimeTables(3, RUNTIME), "kata-fs", "c");
  assert(!hasRuntime(second, "runc", "c"), "containerd 2 adds to what it has");
});

test("what is behind the tables stays", () => {
  const added = `${add("version = 2\n")}[debug]\n  level = "debug"\n`;
  assert.equal(withoutRuntime(added), 'version = 2\n[debug]\n  level = "debug"\n');
});

test("a runtime that somebody else has put there is left alone", () => {
  const toml = `version = 2\n${TABLES}`;
  assert.throws(
    () => add(toml),
    /has a runtime kata-fs already, which kata-fs install did not write; needed/,
  );
  assert.doesNotThrow(() => withRuntime(toml, runtimeTables(2, { ...RUNTIME, handler: "b" }), "b", "c"));
});

test("only the forms 2 and 3 can be added to", () => {
  assert.equal(configVersionOf("version = 2\n", "c"), 2);
  assert.equal(configVersionOf("version = 3\n", "c"), 3);
  assert.throws(
    () => configVersionOf("version = 1\n", "c"),
    /^InstallError: c has version 1; needed: version = 2/,
  );
  assert.throws(() => configVersionOf("", "c"), /^InstallError: c has no version/);
  assert.throws(() => configVersionOf("version = \n", "c"), /^ConfigError: c:1: /);
});
