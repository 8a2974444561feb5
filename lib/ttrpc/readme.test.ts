import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { it } from "node:test";
import { promisify } from "node:util";

it("the README's example prints what the README says", async (context) => {
  const readme = readFileSync(new URL("README.md", import.meta.url), "utf8");
  const [, example = "", printed = ""] =
    /```ts\n(.*?)```.*?```\n(.*?)```/s.exec(readme) ?? assert.fail("no example");
  const directory = mkdtempSync(join(tmpdir(), "ttrpc-readme-"));
  context.after(() => rmSync(directory, { recursive: true }));
  const script = join(directory, "example.mts");
  writeFileSync(
    script,
    example
      .replace("./index.js", new URL("index.ts", import.meta.url).href)
      .replaceAll("/tmp/greeter.sock", join(directory, "greeter.sock")),
  );
  const { stdout } = await promisify(execFile)(process.execPath, ["--import", "tsx", script]);
  assert.equal(stdout, printed);
});
