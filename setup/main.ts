import { constants } from "node:os";
import { dirname, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { ConfigError } from "../configs/index.js";
import { takeLock } from "../scripts/exclusive.mjs";
import { CommandError, endRunningCommands } from "./command.js";
import { type Overrides, readOverrides } from "./overrides.js";
import { privateDirectory } from "./private-directory.js";
import { createProgress, formatSeconds } from "./progress.js";
import { parseRunRequest } from "./run/arguments.js";
import { runContainer } from "./run/run.js";
import { chooseContainerd, type SetUpOptions, setUp } from "./set-up.js";
import { SetupError } from "./setup-error.js";
import type { Toolchain } from "./toolchain.js";

const USAGE = "set-up [--containerd=SERIES|all] [--for-tests], or start [-it] [COMMAND …]";

/** The file that runs: this one, or the bundle in dist/. The repository is the parent of its folder either way. */
const thisFile = fileURLToPath(import.meta.url);
const project = resolve(dirname(thisFile), "..");
const progress = createProgress(process.stdout);

/**
 * What is behind `npm start` and the set-up of `npm test`; the caller holds the lock of the private directory.
 *
 * @param argv `set-up` or `start` and their arguments, see {@link USAGE}.
 * @returns the exit status.
 */
export async function main(argv: readonly string[]): Promise<number> {
  const interruption = new AbortController();
  const interrupt = (signal: NodeJS.Signals) => {
    if (interruption.signal.aborted) return; // It is cleaning up already.
    endRunningCommands();
    interruption.abort(signal);
  };
  const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
  for (const signal of signals) process.on(signal, interrupt);
  try {
    return await dispatch(argv, interruption.signal);
  } catch (error) {
    if (interruption.signal.aborted) return endedBy(interruption.signal.reason);
    if (isExplained(error)) console.error(`kata-fs: ${error.message}`);
    else throw error;
    return 1;
  } finally {
    for (const signal of signals) process.off(signal, interrupt);
  }
}

/** @returns the exit status that shells give to programs ended by a signal */
function endedBy(signal: NodeJS.Signals): number {
  console.error(`kata-fs: ended by ${signal}`);
  return 128 + constants.signals[signal];
}

/** True for errors that are no defects of ours: their message says what the machine refused. */
function isExplained(error: unknown): error is Error {
  if (error instanceof SetupError || error instanceof CommandError || error instanceof ConfigError)
    return true;
  return error instanceof Error && "syscall" in error && "code" in error;
}

async function dispatch([command, ...words]: readonly string[], signal: AbortSignal): Promise<number> {
  if (command === "set-up") {
    await setUpAndTell(readSetUpOptions(words), {});
    return 0;
  }
  if (command === "start") {
    const request = parseRunRequest(words);
    const { KATA_FS_CONTAINERD: wanted = "any", KATA_FS_CONFIG: configFile } = process.env;
    const overrides = configFile === undefined ? {} : readOverrides(configFile);
    const toolchain = await setUpAndTell({ containerd: wanted, forTests: false }, overrides);
    const containerd = chooseContainerd(toolchain, wanted);
    const directory = privateDirectory();
    return runContainer(request, { directory, project, toolchain, containerd, overrides, progress, signal });
  }
  throw new SetupError({ found: `the command ${command ?? "(none)"}`, needed: USAGE });
}

type Wanted = Pick<SetUpOptions, "containerd" | "forTests">;

function readSetUpOptions(words: readonly string[]): Wanted {
  let containerd = "any";
  let forTests = false;
  for (const word of words) {
    const series = /^--containerd=(.+)$/.exec(word)?.[1];
    if (series !== undefined) containerd = series;
    else if (word === "--for-tests") forTests = true;
    else throw new SetupError({ found: `the option ${word}`, needed: USAGE });
  }
  return { containerd, forTests };
}

async function setUpAndTell(wanted: Wanted, overrides: Overrides): Promise<Toolchain> {
  const started = performance.now();
  const directory = privateDirectory();
  const toolchain = await setUp({ directory, project, ...wanted, overrides, progress });
  console.log(`set-up: all in ${directory.path} (${formatSeconds(performance.now() - started)})`);
  return toolchain;
}

if (process.argv[1] === thisFile) {
  void takeLock(privateDirectory().path)
    .then(() => main(process.argv.slice(2)))
    .then(
      (status) => {
        process.exitCode = status;
      },
      (error: Error) => {
        console.error(`kata-fs: ${error.message}`);
        process.exitCode = 1;
      },
    );
}
