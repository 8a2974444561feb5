import { ConfigError } from "../configs/index.js";
import { nearest } from "../lib/nearest.js";
import { TtrpcError } from "../lib/ttrpc/index.js";
import { SetupError } from "../setup/setup-error.js";
import { type Output, UsageError } from "./command.js";
import { COMMANDS } from "./commands.js";
import { GuestError } from "./exec/guest-error.js";
import { InstallError } from "./install/error.js";

const output: Output = {
  out: (text) => void process.stdout.write(text),
  err: (text) => void process.stderr.write(text),
};

function overview(): string {
  const width = Math.max(...COMMANDS.map(({ name }) => name.length));
  const lines = COMMANDS.map(({ name, summary }) => `  ${name.padEnd(width)}  ${summary}\n`);
  return `usage: kata-fs COMMAND [ARGUMENT …]\n\n${lines.join("")}\n  kata-fs COMMAND --help says more of one.\n`;
}

/** Runs one command line and returns its exit status: 2 for one that cannot be followed, 1 for a failure. */
async function main([name, ...words]: readonly string[]): Promise<number> {
  if (name === undefined || name === "help" || name === "--help" || name === "-h") {
    output.out(overview());
    return name === undefined ? 2 : 0;
  }
  const entry = COMMANDS.find((candidate) => candidate.name === name);
  if (entry === undefined) {
    const hint = nearest(
      name,
      COMMANDS.map((candidate) => candidate.name),
    );
    output.err(`kata-fs: there is no command ${name}; the nearest is ${hint}\n\n${overview()}`);
    return 2;
  }
  const command = await entry.load();
  const end = words.indexOf("--");
  const own = end === -1 ? words : words.slice(0, end);
  if (own.includes("--help") || own.includes("-h")) {
    output.out(`kata-fs ${name}: ${entry.summary}\n\n${command.usage}`);
    return 0;
  }
  try {
    return await command.run(words, output);
  } catch (error) {
    if (error instanceof UsageError) {
      output.err(`kata-fs ${name}: ${error.message}\n\n${command.usage}`);
      return 2;
    }
    if (!isExplained(error)) throw error;
    output.err(`kata-fs ${name}: ${error.message}\n`);
    return 1;
  }
}

const EXPLAINED = [ConfigError, SetupError, InstallError, TtrpcError, GuestError];

/** True for errors that are no defects of ours: their message says what the machine or the administrator has to put right. */
function isExplained(error: unknown): error is Error {
  if (EXPLAINED.some((kind) => error instanceof kind)) return true;
  return error instanceof Error && "syscall" in error && "code" in error;
}

void main(process.argv.slice(2)).then((status) => {
  process.exitCode = status;
});
