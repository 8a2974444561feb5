import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { it } from "node:test";
import { fileURLToPath } from "node:url";
import { KeptDescriptors } from "./descriptor-keeper.js";
import { close } from "./file.js";

const DIES = fileURLToPath(new URL("./testing/die-with-a-file-open.ts", import.meta.url));
/** The keeper's own memory, less than the ten that it may cost. */
const PRIVATE_KIB_MAX = 10 << 10;

it("keeps what a process had open that was killed, where it stood", async () => {
  const directory = mkdtempSync(join(tmpdir(), "descriptor-keeper-"));
  // A shell is the parent of both, and reaps the keeper when its standard input ends.
  const shell = spawn(
    "sh",
    ["-c", '"$@"; read -r end', "sh", process.execPath, "--import", "tsx", DIES, join(directory, "file")],
    { stdio: ["pipe", "pipe", "inherit"] },
  );
  const ended = once(shell, "close");
  try {
    const [text] = await once(shell.stdout, "data");
    const { keeper, fd, privateKiB } = JSON.parse(String(text));
    try {
      assert.ok(privateKiB < PRIVATE_KIB_MAX, `${privateKiB} KiB`);
      const kept = KeptDescriptors.of(keeper);
      // A number that nothing else in this process has.
      assert.equal(kept.take(9999), false, "what was not open is not there");
      assert.equal(kept.take(fd), true);
      kept.close();
      const bytes = Buffer.alloc(64);
      assert.equal(bytes.toString("utf8", 0, readSync(fd, bytes)), "read after");
      close(fd);
    } finally {
      process.kill(keeper, "SIGKILL");
    }
  } finally {
    shell.stdin.end();
    await ended;
    rmSync(directory, { recursive: true });
  }
});

it("says so when the process is not there", () => {
  assert.throws(() => KeptDescriptors.of(2 ** 22), /pidfd_open.*ESRCH/);
});
