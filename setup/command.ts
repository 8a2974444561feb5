import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";

export interface CommandOptions {
  readonly cwd?: string;
  /** Replaces the environment; the default is this process's own with a plain C locale, so that output can be parsed. */
  readonly env?: NodeJS.ProcessEnv;
  /** Called with each line the command writes to its descriptor 3. */
  readonly onStatusLine?: (line: string) => void;
}

export interface CommandResult {
  /** Exit status; 128 + signal number is not synthesised, a signal gives undefined. */
  readonly status: number | undefined;
  readonly stdout: string;
  readonly stderr: string;
}

/** A command that could not be started or ended with another status than 0. The message has its last words. */
export class CommandError extends Error {
  override readonly name = "CommandError";

  constructor(
    readonly command: readonly string[],
    /** undefined when the command could not be started or was ended by a signal. */
    readonly status: number | undefined,
    readonly stderr: string,
    options?: { cause?: unknown },
  ) {
    super(`${command[0]}: ${lastLine(stderr) ?? `exit status ${status ?? "none"}`}`, options);
  }
}

const running = new Set<ChildProcess>();

/** Ends the commands that run now; whoever waits for one sees it fail. */
export function endRunningCommands(): void {
  for (const child of running) child.kill("SIGTERM");
}

/**
 * Runs a command to its end and collects what it prints.
 *
 * @throws CommandError when it cannot be started; the exit status is left to the caller.
 */
export async function capture(
  command: readonly string[],
  options: CommandOptions = {},
): Promise<CommandResult> {
  const [file = "", ...args] = command;
  const child = spawn(file, args, {
    cwd: options.cwd,
    env: options.env ?? { ...process.env, LC_ALL: "C" },
    stdio: ["ignore", "pipe", "pipe", options.onStatusLine ? "pipe" : "ignore"],
  });
  const status = child.stdio[3];
  if (options.onStatusLine && status) {
    createInterface({ input: status as Readable }).on("line", options.onStatusLine);
  }
  running.add(child);
  child.once("close", () => running.delete(child));
  const stdout = collect(child.stdout);
  const stderr = collect(child.stderr);
  const code = await exitOf(child, command);
  return { status: code, stdout: await stdout, stderr: await stderr };
}

/** As {@link capture}, and any exit status but 0 is a {@link CommandError}. */
export async function run(command: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
  const result = await capture(command, options);
  if (result.status !== 0) throw new CommandError(command, result.status, result.stderr);
  return result;
}

function exitOf(child: ChildProcess, command: readonly string[]): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    child.once("error", (cause) => reject(new CommandError(command, undefined, cause.message, { cause })));
    child.once("close", (code) => resolve(code ?? undefined));
  });
}

async function collect(stream: Readable | null): Promise<string> {
  if (stream === null) return "";
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks).toString("utf8");
}

function lastLine(text: string): string | undefined {
  return text.trimEnd().split("\n").at(-1) || undefined;
}
