import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";

export const root = resolve(dirname(fileURLToPath(import.meta.url)), "..");

const FAILED_FILES = join(root, "scripts/failed-files.mjs");
/** With more files failing than that something is broken. */
const SECOND_ATTEMPTS_MAX = 3;

/** Folders with unit tests beside their sources. */
const UNIT_FOLDERS = [
  "lib",
  "proto",
  "configs",
  "shim",
  "fsd",
  "agent",
  "guest",
  "setup",
  "cli",
  "bench",
  "fuzz",
];

/**
 * The unit tests whose path from the repository starts with one of `prefixes`; all of them when there are none.
 *
 * @param {readonly string[]} [prefixes]
 */
export function unitTests(prefixes = []) {
  return UNIT_FOLDERS.flatMap((folder) => testsBelow(folder)).filter(
    (file) => prefixes.length === 0 || prefixes.some((prefix) => file.startsWith(prefix)),
  );
}

/** The tests that boot virtual machines. */
export function endToEndTests() {
  return testsBelow("test");
}

/**
 * The tests that take long, whose path from test/ starts with one of `prefixes`; all of them when there are none.
 *
 * @param {readonly string[]} prefixes
 */
export function soakTests(prefixes) {
  return testsBelow("test", ".soak.ts").filter(
    (file) => prefixes.length === 0 || prefixes.some((prefix) => file.startsWith(`test/${prefix}`)),
  );
}

/**
 * @param {string} folder
 * @param {string} [suffix]
 * @returns {string[]}
 */
function testsBelow(folder, suffix = ".test.ts") {
  if (!existsSync(join(root, folder))) return [];
  return readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(suffix))
    .map((name) => relative(root, join(root, folder, name)))
    .sort();
}

/**
 * Runs test files with Node's test runner, each in a process of its own.
 *
 * @param {readonly string[]} files
 * @param {{ concurrency: number, env?: NodeJS.ProcessEnv, failedFilesList?: string }} options `failedFilesList`: where to write
 *   the files in which a test failed, a line each
 * @returns {boolean} whether all passed
 */
export function runTests(files, { concurrency, env = {}, failedFilesList }) {
  if (files.length === 0) {
    console.error("no test file matches");
    return false;
  }
  return run(
    process.execPath,
    [
      ...["--import", "tsx", "--test", `--test-concurrency=${concurrency}`],
      ...["--test-reporter=spec", "--test-reporter-destination=stdout"],
      ...(failedFilesList === undefined
        ? []
        : [`--test-reporter=${FAILED_FILES}`, `--test-reporter-destination=${failedFilesList}`]),
      ...files,
    ],
    env,
  );
}

/**
 * Runs test files like {@link runTests}, and those that failed once more, each alone: of more than a thousand tests with real machines one may fail for
 * what else the host was doing. It is a defect nevertheless, and told.
 *
 * @param {readonly string[]} files
 * @param {{ concurrency: number, env?: NodeJS.ProcessEnv }} options
 * @returns {{ passed: boolean, unreliable: readonly string[] }} with the files that passed only then
 */
export function runTestsTwice(files, options) {
  const directory = mkdtempSync(join(tmpdir(), "kata-fs-failed-"));
  const list = join(directory, "files");
  try {
    if (runTests(files, { ...options, failedFilesList: list })) return { passed: true, unreliable: [] };
    const failed = existsSync(list) ? readFileSync(list, "utf8").split("\n").filter(Boolean) : [];
    if (failed.length === 0 || failed.length > SECOND_ATTEMPTS_MAX) return { passed: false, unreliable: [] };
    console.log(`\n== a second attempt: ${failed.join(" ")}`);
    return { passed: runTests(failed, { ...options, concurrency: 1 }), unreliable: failed };
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/**
 * Runs a command with this process's streams.
 *
 * @param {string} command
 * @param {readonly string[]} args
 * @param {NodeJS.ProcessEnv} [env] variables in addition to this process's own
 * @returns {boolean} whether its exit status was 0
 */
export function run(command, args, env = {}) {
  const { status, error } = spawnSync(command, args, {
    cwd: root,
    stdio: "inherit",
    env: { ...process.env, ...env },
  });
  if (error) console.error(`${command}: ${error.message}`);
  return status === 0;
}
