import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync, readFileSync, unlinkSync, writeSync } from "node:fs";
import { createInterface } from "node:readline";
import type { Writable } from "node:stream";
import { flock, lock } from "./calls.js";

/** The word on the command line that makes a process of the suite a peer. */
export const PEER = "--peer";

/** So many names at a time. */
const CHURN_NAMES = 10;

function done<Args extends unknown[]>(call: (...args: Args) => void): (...args: Args) => number {
  return (...args) => {
    call(...args);
    return 0;
  };
}

/** What a peer can be asked for; errors come back as they were thrown. */
const CALLS = {
  open: (path: string, flags: string) => openSync(path, flags),
  close: done(closeSync),
  write: (fd: number, text: string) => writeSync(fd, text),
  flock: done(flock),
  /** @returns the type that the kernel leaves in struct flock */
  lock: (...words: Parameters<typeof lock>) => lock(...words).type,
  /** Makes and removes names `churn-N` in `dir` as fast as it can, for some time, and tells how many. */
  churn: (dir: string, forMs: number) => {
    const end = Date.now() + forMs;
    const names: string[] = [];
    let count = 0;
    for (; Date.now() < end; count++) {
      const name = `${dir}/churn-${count}`;
      closeSync(openSync(name, "wx"));
      names.push(name);
      const oldest = names.length > CHURN_NAMES ? names.shift() : undefined;
      if (oldest !== undefined) unlinkSync(oldest);
    }
    for (const name of names) unlinkSync(name);
    return count;
  },
} as const;

type Calls = typeof CALLS;
type Answer = { readonly value: number } | { readonly code: string; readonly message: string };

/** A second process of this program, which makes system calls when it is asked to. */
export class Peer {
  private constructor(
    private readonly child: ChildProcess,
    private readonly calls: Writable,
    private readonly answers: AsyncIterator<string>,
  ) {}

  /** @param inherited descriptors of this process, which are 3, 4 … in the new one */
  static start(inherited: readonly number[] = []): Peer {
    // The whole command line, since what it begins with may be the C library's loader.
    const words = readFileSync("/proc/self/cmdline", "utf8").split("\0");
    const script = words.findIndex((word) => /(main\.ts|\.cjs)$/.test(word));
    const [file = "", ...args] = [...words.slice(0, script + 1), PEER];
    const child = spawn(file, args, { stdio: ["pipe", "pipe", "inherit", ...inherited] });
    const { stdin, stdout } = child;
    if (!stdin || !stdout) throw new Error("a peer has pipes");
    const lines = createInterface({ input: stdout });
    return new Peer(child, stdin, lines[Symbol.asyncIterator]());
  }

  /** One call at a time. It may take as long as the system call blocks. */
  async call<Name extends keyof Calls>(name: Name, ...args: Parameters<Calls[Name]>): Promise<number> {
    this.calls.write(`${JSON.stringify([name, args])}\n`);
    const { value: line, done } = await this.answers.next();
    if (done) throw new Error(`the peer ended in ${name}`);
    const answer: Answer = JSON.parse(line);
    if ("code" in answer) throw Object.assign(new Error(answer.message), { code: answer.code });
    return answer.value;
  }

  get pid(): number | undefined {
    return this.child.pid;
  }
  get isAlive(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null;
  }

  /** Ends it as SIGKILL does, and waits until it has gone. Harmless when it has. */
  async kill(): Promise<void> {
    if (!this.isAlive) return;
    const gone = once(this.child, "exit");
    this.child.kill("SIGKILL");
    await gone;
  }
}

/** The other end: reads calls from standard input until it ends. */
export function runPeer(): void {
  createInterface({ input: process.stdin }).on("line", (line) => {
    console.log(JSON.stringify(answerTo(line)));
  });
}

function answerTo(line: string): Answer {
  const [name, args]: [keyof Calls, never[]] = JSON.parse(line);
  try {
    const call: (...args: never[]) => number = CALLS[name];
    return { value: call(...args) };
  } catch (error) {
    const { code = "", message } = error as NodeJS.ErrnoException;
    return { code, message };
  }
}
