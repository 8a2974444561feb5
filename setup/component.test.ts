import assert from "node:assert/strict";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { type Component, install, installedSummary, isStagingName } from "./component.js";

const QUIET = { step: () => ({ update() {}, done() {} }) };

async function sandbox(context: TestContext) {
  const parent = await mkdtemp(join(tmpdir(), "kata-fs-test-"));
  context.after(() => rm(parent, { recursive: true }));
  const directory = join(parent, "tool");
  const builds: string[] = [];
  const component = (recipe: string, contents: string): Component => ({
    title: "tool",
    directory,
    recipe,
    provides: ["file"],
    async build(staging) {
      builds.push(contents);
      await writeFile(join(staging, "file"), contents);
      return `summary of ${contents}`;
    },
  });
  return { parent, directory, builds, component };
}

test("a component is made once, and again when its recipe changes", async (context) => {
  const { directory, builds, component } = await sandbox(context);
  await install(component("1", "first"), QUIET);
  await install(component("1", "never"), QUIET);
  assert.equal(await readFile(join(directory, "file"), "utf8"), "first");
  await install(component("2", "second"), QUIET);
  assert.equal(await readFile(join(directory, "file"), "utf8"), "second");
  assert.deepEqual(builds, ["first", "second"]);
  assert.equal(await installedSummary(directory), "summary of second");
});

test("a build that fails leaves what was there before and nothing else", async (context) => {
  const { parent, directory, component } = await sandbox(context);
  await install(component("1", "first"), QUIET);
  const failing: Component = {
    ...component("2", ""),
    build: async (staging) => {
      await writeFile(join(staging, "half"), "");
      assert(isStagingName((await readdir(parent)).find((name) => name !== "tool") ?? ""));
      throw new Error("no network");
    },
  };
  await assert.rejects(install(failing, QUIET), /no network/);
  assert.deepEqual(await readdir(parent), ["tool"]);
  assert.equal(await readFile(join(directory, "file"), "utf8"), "first");
});

test("a component that lost a file is made anew", async (context) => {
  const { directory, builds, component } = await sandbox(context);
  await install(component("1", "first"), QUIET);
  await rm(join(directory, "file"));
  await install(component("1", "second"), QUIET);
  assert.deepEqual(builds, ["first", "second"]);
});

test("a directory without a whole stamp is made anew", async (context) => {
  const { directory, builds, component } = await sandbox(context);
  await install(component("1", "first"), QUIET);
  await writeFile(join(directory, ".component.json"), '{"recipe": "1"');
  await install(component("1", "second"), QUIET);
  assert.deepEqual(builds, ["first", "second"]);
});
