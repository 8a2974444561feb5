import { parseArgs, type ShimArgs, USAGE, UsageError } from "./args.js";
import { answerLauncher, type Bootstrapped, bootstrap } from "./bootstrap.js";
import { messageOf } from "./error.js";

// Everything that listening does not need is imported after containerd has its answer: the time until then is on the path of
// every `ctr run` and every pod.

void main(process.argv.slice(2)).then((status) => {
  process.exitCode = status;
});

/** Runs one action of the shim; resolves with the exit status. A shim that serves resolves when it is no longer needed. */
async function main(argv: readonly string[]): Promise<number> {
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
      return await start(args);
    case "delete": {
      const { deleteTask } = await import("./delete.js");
      return await deleteTask(args, args.bundle === "" ? process.cwd() : args.bundle);
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

async function start(args: ShimArgs): Promise<number> {
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
  if (booted.listener === undefined) return 0;
  const { serve } = await import("./serve.js");
  return await serve(args, bundle, booted.listener);
}
