import { parseArgs, type ShimArgs, USAGE, UsageError } from "./args.js";
import { answerLauncher, type Bootstrapped, bootstrap } from "./bootstrap.js";
import type { CleanUpSandbox } from "./delete.js";
import { messageOf } from "./error.js";
import type { CreateSandboxFactory } from "./serve.js";
import { noteAddressAnswered } from "./start-clock.js";

// Everything that listening does not need is imported after containerd has its answer: the time until then is on the path of
// every `ctr run` and every pod.

/** What the shim runs containers with. Loaded when it is needed. */
export interface SandboxModule {
  readonly createSandboxFactory: CreateSandboxFactory;
  readonly cleanUpSandbox: CleanUpSandbox;
}

/**
 * Runs one action of the shim; resolves with the exit status. A shim that serves resolves when it is no longer needed.
 *
 * @param argv without the program
 */
export async function runShim(
  argv: readonly string[],
  loadSandbox: () => Promise<SandboxModule>,
): Promise<number> {
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
      return await start(args, loadSandbox);
    case "delete": {
      const { deleteTask } = await import("./delete.js");
      const { cleanUpSandbox } = await loadSandbox();
      return await deleteTask(args, args.bundle === "" ? process.cwd() : args.bundle, cleanUpSandbox);
    }
    case "info": {
      const { runtimeInfo } = await import("./info.js");
      process.stdout.write(runtimeInfo());
      return 0;
    }
    case "version": {
      const { versionText } = await import("./info.js");
      process.stdout.write(versionText());
      return 0;
    }
    case "help":
      process.stdout.write(USAGE);
      return 0;
  }
}

async function start(args: ShimArgs, loadSandbox: () => Promise<SandboxModule>): Promise<number> {
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
  answerLauncher(answerFd, booted.address);
  noteAddressAnswered();
  if (booted.listener === undefined) return 0;
  const { serve } = await import("./serve.js");
  const { createSandboxFactory } = await loadSandbox();
  return await serve(args, bundle, booted.listener, createSandboxFactory);
}
