import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { execute, project } from "./machine.js";

/** Runs what the README tells a newcomer to run. */
function npmStart(...words: readonly string[]) {
  return execute(["npm", "start", "--silent", "--prefix", project, "--", ...words]);
}

describe("npm start", () => {
  it("runs the demonstration, every claim of which holds", async () => {
    const { status, stdout, stderr } = await npmStart();
    const text = stdout.toString();
    assert.equal(status, 0, text + stderr);
    for (const claim of ["kernel", "root", "contents", "DAX", "page cache"]) {
      assert.match(text, new RegExp(`^  ok +${claim} `, "m"));
    }
    assert.match(text, /lower layers on virtio-fs/);
    assert.match(text, /phases +shim start \d+ ms, kata-fsd \d+ ms, QEMU \d+ ms, kernel to agent \d+ ms/);
  });

  it("runs any command, with its output and exit status", async () => {
    const { status, stdout } = await npmStart("sh", "-c", "echo from $(id -u); exit 3");
    assert.match(stdout.toString(), /^from 0$/m);
    assert.equal(status, 3);
  });

  it("gives a command a terminal", async () => {
    // script(1) has a terminal for npm, whose own standard input it is. Its size gets to the container.
    const inner = "test -t 0 && test -t 1 && sleep 1 && stty size; exit 4";
    const command = `stty rows 33 cols 77; npm start --silent --prefix ${project} -- -it sh -c '${inner}'`;
    const { status, stdout } = await execute([
      "script",
      "--quiet",
      "--return",
      "--command",
      command,
      "/dev/null",
    ]);
    assert.match(stdout.toString(), /\b33 77\r*$/m);
    assert.equal(status, 4);
  });
});
