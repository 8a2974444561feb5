import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { buildSync } from "esbuild";

const HAS_CACHE = Number.parseInt(process.versions.node, 10) >= 22;

test("a program that is killed has left what was compiled, with a Node.js that can", (context) => {
  const folder = mkdtempSync(join(tmpdir(), "kata-fs-test-"));
  context.after(() => rmSync(folder, { recursive: true }));
  const cache = join(folder, "cache");
  const program = join(folder, "program.cjs");
  buildSync({
    stdin: {
      contents:
        'import { flushCompileCache } from "./compile-cache.ts"; flushCompileCache(); process.kill(process.pid, "SIGKILL");',
      resolveDir: import.meta.dirname,
    },
    bundle: true,
    platform: "node",
    format: "cjs",
    outfile: program,
  });
  const { PATH = "" } = process.env;
  const run = (env: NodeJS.ProcessEnv) => spawnSync(process.execPath, [program], { env: { PATH, ...env } });
  assert.equal(run({ NODE_COMPILE_CACHE: cache }).signal, "SIGKILL");
  const files = HAS_CACHE ? readdirSync(cache, { recursive: true, withFileTypes: true }) : [];
  assert.equal(
    files.some((file) => file.isFile()),
    HAS_CACHE,
  );
  writeFileSync(join(folder, "not-a-directory"), "");
  assert.equal(
    run({ NODE_COMPILE_CACHE: join(folder, "not-a-directory/x") }).signal,
    "SIGKILL",
    "no cache is no failure",
  );
});
