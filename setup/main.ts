import { dirname, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { privateDirectory } from "./private-directory.js";
import { createProgress, formatSeconds } from "./progress.js";
import { setUp } from "./set-up.js";
import { SetupError } from "./setup-error.js";

/** The file that runs: this one, or the bundle in dist/. The repository is the parent of its folder either way. */
const thisFile = fileURLToPath(import.meta.url);
const project = resolve(dirname(thisFile), "..");

/**
 * The command behind `npm start` and `npm test`:
 *
 *   set-up [--all]
 *
 * @returns the exit status.
 */
export async function main(argv: readonly string[]): Promise<number> {
  try {
    const [command, ...rest] = argv;
    if (command === "set-up") {
      const { values } = parseArgs({ args: rest, options: { all: { type: "boolean", default: false } } });
      const started = performance.now();
      const directory = privateDirectory();
      const progress = createProgress(process.stdout);
      await setUp({ directory, project, everyContainerd: values.all, progress });
      console.log(`set-up complete in ${directory.path} (${formatSeconds(performance.now() - started)})`);
      return 0;
    }
    throw new SetupError({ found: `the command ${command ?? "(none)"}`, needed: "set-up" });
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    console.error(`kata-fs: ${error.message}`);
    return 1;
  }
}

if (process.argv[1] === thisFile) {
  void main(process.argv.slice(2)).then((status) => {
    process.exitCode = status;
  });
}
