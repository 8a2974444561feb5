import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { copyNodeRuntime, NodeRuntime, parseLdd } from "./node-runtime.js";

test("ldd's output: libraries, the loader in both of its forms, what has no file", () => {
  const libraries = `\
\tlinux-vdso.so.1 (0x00007ffd)
\tlibm.so.6 => /lib/x86_64-linux-gnu/libm.so.6 (0x00007f01)
\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f00)
`;
  const expected = {
    loader: "/lib64/ld-linux-x86-64.so.2",
    libraries: ["/lib/x86_64-linux-gnu/libm.so.6", "/lib/x86_64-linux-gnu/libc.so.6"],
  };
  assert.deepEqual(parseLdd(`${libraries}\t/lib64/ld-linux-x86-64.so.2 (0x00007f02)\n`), expected);
  const asLibrary = "\t/lib64/ld-linux-x86-64.so.2 => /lib64/ld-linux-x86-64.so.2 (0x00007f02)\n";
  assert.deepEqual(parseLdd(libraries + asLibrary), expected);
});

test("a missing library and a static program are errors", () => {
  assert.throws(
    () => parseLdd("\tlibgone.so.1 => not found\n\t/lib64/ld.so (0x1)\n"),
    /libgone\.so\.1 was not found/,
  );
  assert.throws(() => parseLdd("\tstatically linked\n"), /no dynamic loader/);
});

test("the copied Node.js runs with its own loader and libraries", async (context) => {
  const directory = await mkdtemp(join(tmpdir(), "kata-fs-test-"));
  context.after(() => rm(directory, { recursive: true }));
  await copyNodeRuntime(directory, process.execPath, []);
  const { stdout } = await promisify(execFile)(join(directory, NodeRuntime.loader), [
    "--library-path",
    join(directory, NodeRuntime.libraries),
    join(directory, NodeRuntime.node),
    "-p",
    "process.version",
  ]);
  assert.equal(stdout.trim(), process.version);
});
