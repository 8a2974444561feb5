import assert from "node:assert/strict";
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import {
  closeSync,
  constants,
  existsSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { parseConfiguration } from "../../configs/index.js";
import { hasErrno } from "../../lib/sys/errno.js";
import { ShimError, StatusCode } from "../error.js";
import type { Logger } from "../log/logger.js";
import { setTimeLimits } from "../time-limits.js";
import { type GuestStreams, ProcessIo } from "./process-io.js";

const SILENT: Logger = { error() {}, warn() {}, info() {}, debug() {} };
const OWNER = { namespace: "moby", id: "c1" };
const TIME_LIMITS = parseConfiguration("", "defaults").timeLimits;
const EOF = new Uint8Array(0);

let directory: string;
let children: ChildProcess[];
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "kata-fs-stdio-"));
  children = [];
});
afterEach(() => {
  for (const child of children) child.kill("SIGKILL");
  rmSync(directory, { recursive: true, force: true });
});

function fifo(name: string): string {
  const path = join(directory, name);
  execFileSync("mkfifo", [path]);
  return path;
}

/**
 * A client's end of a fifo for output. It is there before anybody writes: one that came when the writers have gone would wait for ever,
 * and what they wrote would be lost.
 */
function reader(path: string): { read(): Promise<Buffer> } {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  return {
    read: async () => Buffer.concat(await new Socket({ fd, readable: true, writable: false }).toArray()),
  };
}

function hasReader(path: string): boolean {
  try {
    closeSync(openSync(path, constants.O_WRONLY | constants.O_NONBLOCK));
    return true;
  } catch (error) {
    if (hasErrno(error, "ENXIO")) return false;
    throw error;
  }
}

/** Runs a shell command beside the test, as a client of containerd would; resolves with what it printed. */
function client(script: string): Promise<string> {
  const child = spawn("sh", ["-c", script], { cwd: directory, stdio: ["ignore", "pipe", "inherit"] });
  children.push(child);
  let printed = "";
  child.stdout.on("data", (data: Buffer) => {
    printed += data.toString();
  });
  return new Promise((resolve) => child.on("close", () => resolve(printed.trim())));
}

/** A process in the guest that prints `chunks` and keeps what it is given. */
class FakeProcess implements GuestStreams {
  readonly input: Buffer[] = [];
  readonly inputEnded: Promise<void>;
  #endInput = () => {};
  takesAtMost = Number.POSITIVE_INFINITY;

  constructor(
    readonly chunks: Iterator<Uint8Array> = [].values(),
    readonly whenOutputEnds: () => Promise<Uint8Array> = async () => EOF,
  ) {
    this.inputEnded = new Promise((resolve) => {
      this.#endInput = resolve;
    });
  }

  async readStdout(maxBytes: number): Promise<Uint8Array> {
    const { done, value } = this.chunks.next();
    if (done === true) return this.whenOutputEnds();
    assert.ok(value.length <= maxBytes);
    return value;
  }

  readStderr(): Promise<Uint8Array> {
    return this.whenOutputEnds();
  }

  async writeStdin(data: Uint8Array): Promise<number> {
    const taken = Math.min(data.length, this.takesAtMost);
    this.input.push(Buffer.from(data.subarray(0, taken)));
    return taken;
  }

  async closeStdin(): Promise<void> {
    this.#endInput();
  }
}

async function open(
  stdio: Partial<Record<"stdin" | "stdout" | "stderr", string>>,
  terminal = false,
): Promise<ProcessIo> {
  const io = new ProcessIo({ stdin: "", stdout: "", stderr: "", terminal, ...stdio }, OWNER, SILENT);
  await io.open();
  return io;
}

test("64 MiB pass a fifo unchanged, and the reader gets its end of file", async () => {
  const stdout = fifo("stdout");
  const printed = reader(stdout).read();
  const block = randomBytes(32 * 1024);
  const hash = createHash("sha256");
  function* blocks(): Generator<Uint8Array> {
    for (let i = 0; i < 2048; i++) {
      block.writeUInt32LE(i);
      const copy = Buffer.from(block);
      hash.update(copy);
      yield copy;
    }
  }
  const io = await open({ stdout });
  io.attach(new FakeProcess(blocks()));
  await io.finished();
  io.close();
  assert.equal(
    createHash("sha256")
      .update(await printed)
      .digest("hex"),
    hash.digest("hex"),
  );
});

test("a client that does not read makes the guest wait, nobody else, and loses nothing", async () => {
  const stdout = fifo("stdout");
  const output = reader(stdout);
  let reads = 0;
  function* chunks(): Generator<Uint8Array> {
    for (; reads < 16; reads++) yield new Uint8Array(32 * 1024);
  }
  const io = await open({ stdout });
  io.attach(new FakeProcess(chunks()));
  await sleep(300);
  // The fifo holds two chunks, the socket's write a third, and a fourth has been read ahead.
  assert.ok(reads <= 5, `${reads} chunks were taken from the guest`);
  await io.drain(100);
  const printed = output.read();
  await io.finished();
  io.close();
  assert.equal((await printed).length, 16 * 32 * 1024);
});

test("the last output reaches a client that reads only after the guest's stream failed", async () => {
  const stdout = fifo("stdout");
  const output = reader(stdout);
  // The fifo holds two; the third is being written when the stream fails.
  const chunks = Array.from({ length: 3 }, () => new Uint8Array(32 * 1024));
  const io = await open({ stdout });
  await new Promise<void>((failed) => {
    const die = async () => {
      failed();
      throw new Error("the VM died");
    };
    io.attach(new FakeProcess(chunks.values(), die));
  });
  const printed = output.read();
  await io.finished();
  io.close();
  assert.equal((await printed).length, 3 * 32 * 1024);
});

test("stdin reaches the process; it ends with CloseIO, after the last byte, not with the client", async () => {
  const stdin = fifo("stdin");
  const process = new FakeProcess();
  process.takesAtMost = 1000;
  const io = await open({ stdin });
  io.attach(process);
  await client("head -c 100000 /dev/zero > stdin");
  await sleep(100);
  assert.equal(await Promise.race([process.inputEnded.then(() => "ended"), sleep(100, "open")]), "open");
  await client("printf end > stdin");
  io.closeStdin();
  await process.inputEnded;
  assert.equal(Buffer.concat(process.input).toString("latin1"), `${"\0".repeat(100_000)}end`);
  io.close();
});

test("CloseIO before the client has written waits for the client", async () => {
  const stdin = fifo("stdin");
  const process = new FakeProcess();
  const io = await open({ stdin });
  io.attach(process);
  const writer = openSync(stdin, constants.O_WRONLY | constants.O_NONBLOCK);
  io.closeStdin();
  assert.equal(await Promise.race([process.inputEnded.then(() => "ended"), sleep(100, "open")]), "open");
  writeSync(writer, "late");
  closeSync(writer);
  await process.inputEnded;
  assert.equal(Buffer.concat(process.input).toString(), "late");
  io.close();
});

test("CloseIO before the start is not forgotten", async () => {
  const stdin = fifo("stdin");
  const process = new FakeProcess();
  const io = new ProcessIo({ stdin, stdout: "", stderr: "", terminal: false }, OWNER, SILENT);
  io.closeStdin();
  // A fifo opened for both waits for no reader.
  const writer = openSync(stdin, constants.O_RDWR | constants.O_NONBLOCK);
  writeSync(writer, "early");
  await io.open();
  closeSync(writer);
  io.attach(process);
  await process.inputEnded;
  assert.equal(Buffer.concat(process.input).toString(), "early");
  io.close();
});

test("a guest that claims to take more than it was given is not believed", async () => {
  const stdin = fifo("stdin");
  const io = await open({ stdin });
  let calls = 0;
  const liar = new FakeProcess();
  liar.writeStdin = async (data) => {
    calls++;
    return data.length + 1;
  };
  io.attach(liar);
  await client("printf abc > stdin");
  while (hasReader(stdin)) await sleep(10);
  assert.equal(calls, 1);
  io.close();
});

test("drain gives up on a stream that another process of the guest holds, and closes it", async () => {
  const stdout = fifo("stdout");
  const output = reader(stdout);
  const io = await open({ stdout });
  io.attach(new FakeProcess([Buffer.from("hello")].values(), () => new Promise(() => {})));
  await io.drain(300);
  // The end of file is the drain's: the test closes nothing before.
  assert.equal((await output.read()).toString(), "hello");
  io.close();
});

test("drain gives up on a client that does not read, but lets it catch up", async () => {
  const stdout = fifo("stdout");
  const output = reader(stdout);
  const io = await open({ stdout });
  const chunks = Array.from({ length: 8 }, () => new Uint8Array(32 * 1024));
  io.attach(new FakeProcess(chunks.values()));
  await io.drain(200);
  const printed = output.read();
  await io.finished();
  io.close();
  assert.equal((await printed).length, 8 * 32 * 1024);
});

test("output counts as read at its end, or when its client has stopped reading", async () => {
  const stdout = fifo("stdout");
  const output = reader(stdout);
  const io = await open({ stdout });
  const chunks = Array.from({ length: 8 }, () => new Uint8Array(32 * 1024));
  io.attach(new FakeProcess(chunks.values()));
  await io.outputRead(50);
  assert.equal(await Promise.race([io.finished().then(() => "finished"), sleep(1, "unread")]), "unread");
  const printed = output.read();
  await io.outputRead(60_000);
  assert.equal(await Promise.race([io.finished().then(() => "finished"), sleep(1, "unread")]), "finished");
  io.close();
  assert.equal((await printed).length, 8 * 32 * 1024);
});

test("a terminal has no stderr", async () => {
  const io = await open({ stdout: fifo("stdout"), stderr: join(directory, "missing") }, true);
  io.close();
});

test("a log file is appended to", async () => {
  const log = join(directory, "deep", "out.log");
  for (const text of ["one ", "two"]) {
    const io = await open({ stdout: `file://${log}` });
    io.attach(new FakeProcess([Buffer.from(text)].values()));
    await io.finished();
    io.close();
  }
  assert.equal(readFileSync(log, "utf8"), "one two");
});

test("a file as stdin", async () => {
  const stdin = join(directory, "input");
  writeFileSync(stdin, "text");
  const process = new FakeProcess();
  const io = await open({ stdin });
  io.attach(process);
  await process.inputEnded;
  assert.equal(Buffer.concat(process.input).toString(), "text");
  io.close();
});

test("a fifo that is missing is named, and the others are not left open", async () => {
  const stdout = fifo("stdout");
  const output = reader(stdout);
  const stderr = join(directory, "missing");
  await assert.rejects(
    open({ stdout, stderr }),
    (error) =>
      error instanceof ShimError && error.code === StatusCode.NOT_FOUND && error.message.includes(stderr),
  );
  assert.equal((await output.read()).length, 0);
});

/** A logging binary that is a shell script; its URI. */
function loggingBinary(script: string): string {
  const path = join(directory, "logger");
  writeFileSync(path, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  return `binary://${path}?--tag=a%20b`;
}

test("a logging binary gets both streams, its arguments and the name of whom it logs, and nothing of the shim's environment", async () => {
  const uri = loggingBinary(
    `cd ${directory}; echo "$@ $CONTAINER_NAMESPACE $CONTAINER_ID \${HOME-none}" > told; exec 5>&-
     cat <&4 >err & cat /dev/fd/3 >out; wait; echo ended > done.new; mv done.new done`,
  );
  const io = await open({ stdout: uri, stderr: uri });
  assert.equal(readFileSync(join(directory, "told"), "utf8"), "--tag a b moby c1 none\n");
  const process = new FakeProcess([Buffer.from("hello")].values());
  process.readStderr = stderrOnce("oh");
  io.attach(process);
  await io.finished();
  io.close();
  while (!existsSync(join(directory, "done"))) await sleep(10);
  assert.equal(readFileSync(join(directory, "out"), "utf8"), "hello");
  assert.equal(readFileSync(join(directory, "err"), "utf8"), "oh");
});

test("a process starts only when its logging binary is ready", async () => {
  const uri = loggingBinary(`sleep 0.3; : > ${join(directory, "ready")}; exec 5>&-; cat <&3`);
  const io = await open({ stdout: uri });
  assert.ok(existsSync(join(directory, "ready")));
  io.close();
});

test("a logging binary that does not end is ended", async () => {
  setTimeLimits({ ...TIME_LIMITS, loggerEndSeconds: 0.4 });
  const pidFile = join(directory, "pid");
  const uri = loggingBinary(`trap '' TERM; echo $$ > ${pidFile}; exec 5>&-; while :; do sleep 0.1; done`);
  const io = await open({ stdout: uri });
  const pid = Number(readFileSync(pidFile, "utf8"));
  io.close();
  while (existsSync(`/proc/${pid}`)) await sleep(20);
  setTimeLimits(TIME_LIMITS);
});

test("a logging binary that is missing, or never gets ready, is an error that names it", async () => {
  const refused = (code: StatusCode) => (error: unknown) =>
    error instanceof ShimError && error.code === code && error.message.includes(directory);
  await assert.rejects(open({ stdout: `binary://${directory}/missing` }), refused(StatusCode.NOT_FOUND));
  setTimeLimits({ ...TIME_LIMITS, loggerStartSeconds: 0.2, loggerEndSeconds: 0.2 });
  await assert.rejects(
    open({ stdout: loggingBinary("exec sleep 60") }),
    refused(StatusCode.DEADLINE_EXCEEDED),
  );
  setTimeLimits(TIME_LIMITS);
});

/** A stderr that says `text` and ends. */
function stderrOnce(text: string): () => Promise<Uint8Array> {
  const chunks = [Buffer.from(text)];
  return async () => chunks.shift() ?? EOF;
}
