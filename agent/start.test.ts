import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

/** A stand-in for the agent: what matters here is how it is loaded. */
const MAIN = `process.stdout.write(["main", process.argv.slice(2), __filename, typeof require].join(" "))`;

describe("start", () => {
  let directory: string;
  let starter: string;
  before(async () => {
    directory = mkdtempSync(join(tmpdir(), "agent-start-"));
    starter = join(directory, "agent.cjs");
    await build({
      entryPoints: [fileURLToPath(new URL("start.ts", import.meta.url))],
      outfile: starter,
      bundle: true,
      platform: "node",
      format: "cjs",
      define: { "import.meta.url": "__bundleUrl" },
      banner: { js: `const __bundleUrl = require("node:url").pathToFileURL(__filename).href;` },
    });
    writeFileSync(join(directory, "agent-main.cjs"), MAIN);
  });
  after(() => rmSync(directory, { recursive: true, force: true }));

  const run = (...args: string[]) => spawnSync(process.execPath, [starter, ...args], { encoding: "utf8" });
  const cacheFile = () => join(directory, "agent-main.cjs.cache");
  const expected = () => `main a,b ${join(directory, "agent-main.cjs")} function`;

  test("runs the agent without a cache", () => {
    const { stdout, stderr } = run("a", "b");
    assert.equal(stdout, expected());
    assert.equal(stderr, "");
  });

  test("makes a cache that V8 accepts", () => {
    execFileSync(process.execPath, [starter, "--make-code-cache"]);
    assert.ok(existsSync(cacheFile()));
    const { stdout, stderr } = run("a", "b");
    assert.equal(stdout, expected());
    assert.equal(stderr, "");
  });

  test("says that it does not use the cache of another V8, and goes on", () => {
    const cache = readFileSync(cacheFile());
    cache.writeUInt32LE(cache.readUInt32LE(4) + 1, 4);
    writeFileSync(cacheFile(), cache);
    const { stdout, stderr } = run("a", "b");
    assert.equal(stdout, expected());
    assert.match(stderr, /agent-main\.cjs\.cache: made by another Node\.js/);
  });
});
