import { flushCompileCache } from "../lib/compile-cache.js";
import { parseArgs, type ShimArgs, USAGE, UsageError } from "./args.js";
import { answerLauncher, type Bootstrapped, bootstrap } from "./bootstrap.js";
import { messageOf } from "./error.js";

/** What is loaded when it is needed, and for `start` after containerd has its answer: that is on the path of every `ctr run`. */
export type LateModule = typeof import("./late.js");

/**
 * Runs one action of the shim; resolves with the exit status. A shim that serves resolves when it is no longer needed.
 *
 * @param argv without the program
 */
export async function runShim(argv: readonly string[], loadLate: () => Promise<LateModule>): Promise<number> {
  let args: ShimArgs;
  try {
    args = parseArgs(argv);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    process.stderr.write(`containerd-shim-kata-fs-v2: ${error.message}\n\n${USAGE}`);
    return 2;
  }
  switch (args.action) {
    case "start":
      return await start(args, loadLate);
    case "delete": {
      const { cleanUpSandbox, deleteTask, runLastHooks } = await loadLate();
      const bundle = args.bundle === "" ? process.cwd() : args.bundle;
      return await deleteTask(args, bundle, { cleanUpSandbox, runLastHooks });
    }
    case "info": {
      const { runtimeInfo } = await loadLate();
      process.stdout.write(runtimeInfo());
      return 0;
    }
    case "version": {
      const { versionText } = await loadLate();
      process.stdout.write(versionText());
      return 0;
    }
    case "help":
      process.stdout.write(USAGE);
      return 0;
  }
}

async function start(args: ShimArgs, loadLate: () => Promise<LateModule>): Promise<number> {
  const { KATA_FS_ANSWER_FD } = process.env;
  const answerFd = Number(KATA_FS_ANSWER_FD);
  if (!Number.isInteger(answerFd) || answerFd < 3) {
    process.stderr.write("start works through the launcher only: dist/bin/containerd-shim-kata-fs-v2\n");
    return 2;
  }
  const bundle = process.cwd();
  let booted: Bootstrapped;
  try {
    booted = await bootstrap(args, bundle);
  } catch (error) {
    answerLauncher(answerFd, messageOf(error));
    return 1;
  }
  answerLauncher(answerFd, booted.answer);
  const answeredMs = performance.now();
  if (booted.listener === undefined) return 0;
  const { createSandboxFactory, serve, setAddressAnsweredMs } = await loadLate();
  setAddressAnsweredMs(answeredMs);
  flushCompileCache();
  return await serve(args, bundle, booted.listener, createSandboxFactory);
}
