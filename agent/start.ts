import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { Script } from "node:vm";

/**
 * Starts the agent from its bundle beside this one with the code that V8 compiled at set-up. Without it compiling takes a third
 * of the instructions between the start of Node.js and the first answer. A cache that is missing, or of another V8, costs only
 * time.
 *
 * `--make-code-cache` runs the agent's warm-up instead of the agent and leaves the cache.
 */
const MAKE_CODE_CACHE = "--make-code-cache";

const mainFile = join(dirname(fileURLToPath(import.meta.url)), "agent-main.cjs");
const cacheFile = `${mainFile}.cache`;

type CommonJsModule = (require: NodeJS.Require, module: { exports: unknown }, filename: string) => void;

const makesCache = process.argv[2] === MAKE_CODE_CACHE;
const source = `(function (require, module, __filename) {${readFileSync(mainFile, "utf8")}\n})`;
const cachedData = makesCache ? undefined : readIfPresent(cacheFile);
const script = new Script(source, { filename: mainFile, ...(cachedData && { cachedData }) });
if (script.cachedDataRejected) process.stderr.write(`${cacheFile}: made by another Node.js, not used\n`);
// At the end of the process V8 has compiled what was used, and knows what was not.
if (makesCache) process.on("exit", () => writeCache(script.createCachedData()));
const run: CommonJsModule = script.runInThisContext();
run(createRequire(mainFile), { exports: {} }, mainFile);

/** In one step: a guest that starts meanwhile finds all of it or nothing. */
function writeCache(code: Buffer): void {
  writeFileSync(`${cacheFile}.new`, code);
  renameSync(`${cacheFile}.new`, cacheFile);
}

function readIfPresent(file: string): Buffer | undefined {
  try {
    return readFileSync(file);
  } catch {
    // Whatever is wrong with it, there is a way without.
    return undefined;
  }
}
