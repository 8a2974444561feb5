import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { AgentProcess, missing } from "../../agent/testing/agent-process.js";
import { VsockError } from "../../lib/vsock/index.js";
import { serveUnixBridge, type UnixBridge } from "../../lib/vsock/unix-bridge.js";
import { connectToGuest } from "./guest-port.js";
import { runInGuest } from "./run-in-guest.js";
import { quote, type TerminalSize } from "./script.js";

const PORT = 1026;

describe("a command in the guest", { skip: missing() }, () => {
  let directory: string;
  let machine: AgentProcess;
  let bridge: UnixBridge;
  let path: string;

  before(async () => {
    directory = mkdtempSync(join(tmpdir(), "kata-fs-exec-"));
    path = join(directory, "vsock.sock");
    machine = await AgentProcess.start();
    bridge = await serveUnixBridge(path, {
      connect: (port) =>
        port === PORT
          ? machine.connectDebugConsole()
          : Promise.reject(new VsockError("ECONNREFUSED", "nobody listens")),
    });
  });
  after(async () => {
    await bridge?.close();
    await machine?.stop();
    rmSync(directory, { recursive: true });
  });

  async function run(command: string, terminal?: TerminalSize, input = "") {
    const chunks: Buffer[] = [];
    const status = await runInGuest(await connectToGuest(path, PORT), command, {
      terminal,
      output: (bytes) => void chunks.push(bytes),
      started: (send) => send(Buffer.from(input)),
    });
    return { status, output: Buffer.concat(chunks).toString() };
  }

  test("gives its output as it is, and its status", async () => {
    assert.deepEqual(await run("printf 'a\\nb\\tc'; echo problem >&2; exit 7"), {
      status: 7,
      output: "a\nb\tcproblem\n",
    });
    assert.equal((await run("kill -9 $$")).status, 137);
    assert.deepEqual(await run("cat; true"), { status: 0, output: "" });
  });

  test("may be longer than a line of a terminal, with any character", async () => {
    const word = `'"$\\\n\u001eü`.repeat(2000);
    assert.deepEqual(await run(`printf %s ${quote(word)}`), { status: 0, output: word });
  });

  test("has the user's terminal, with its size and input", async () => {
    const { status, output } = await run(
      "stty size; read line; echo got $line",
      { rows: 33, columns: 99 },
      "hi\r",
    );
    assert.equal(status, 0);
    assert.match(output, /33 99\r\n/);
    assert.match(output, /got hi\r\n/);
  });

  test("is told apart from a port where nobody listens, and from a sandbox without a guest", async () => {
    await assert.rejects(connectToGuest(path, 9), /nobody listens at vsock port 9/);
    await assert.rejects(connectToGuest(join(directory, "none"), PORT), /cannot be reached: .*ENOENT/);
    const silent = createServer((connection) => void connection.end());
    await new Promise<void>((resolve) => silent.listen(join(directory, "silent"), resolve));
    await assert.rejects(connectToGuest(join(directory, "silent"), PORT), /nobody listens|cannot be reached/);
    silent.close();
  });

  test("fails when its shell ends first", async () => {
    await assert.rejects(run("kill -9 $PPID; sleep 5"), /shell has ended before the command/);
  });
});
