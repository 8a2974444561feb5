import { writeSync } from "node:fs";
import { type SyscallName, syscallNames } from "../../../lib/sys/syscall-number.js";
import { parseOptions } from "../../options/parse.js";
import { enterSandbox } from "../sandbox.js";
import { restartWithoutIoUring } from "../without-io-uring.js";
import { call, type Outside, tryAll } from "./attempts.js";

/*
 * Stands in for the daemon: started by the same launcher, with the same options, it enters the same sandbox and then does what a daemon
 * would do that a guest has taken over. Variables of the environment say what that is.
 *
 * KATA_FSD_PROBE_OUTSIDE: JSON of an Outside. All ways out are tried, and what came of it is printed as JSON.
 * KATA_FSD_PROBE_CALL: JSON of a name of a system call, or a number, and arguments. It is made.
 * KATA_FSD_PROBE_CONTROL: no sandbox is entered.
 */

const {
  KATA_FSD_PROBE_OUTSIDE: outside,
  KATA_FSD_PROBE_CALL: syscall,
  KATA_FSD_PROBE_CONTROL: isControl,
} = process.env;

function main(): void {
  const options = parseOptions(process.argv.slice(2));
  if (typeof options === "string") throw new Error(`not for ${options}`);
  if (!isControl && options.sandbox.seccomp !== "none") restartWithoutIoUring([]);
  const directories = options.devices.map(({ sharedDir: path, readOnly }) => ({ path, readOnly }));
  const paths = isControl ? directories.map(({ path }) => path) : enterSandbox(options.sandbox, directories);

  if (outside !== undefined) {
    const [writable = "", readOnly = ""] = paths;
    const known: Outside = JSON.parse(outside);
    writeSync(1, JSON.stringify(tryAll(known, { writable, readOnly })));
  }
  if (syscall !== undefined) {
    const [name, ...args]: [string | number, ...number[]] = JSON.parse(syscall);
    try {
      call(typeof name === "number" ? name : nameOf(name), ...args);
      writeSync(1, "called");
    } catch (error) {
      writeSync(1, error instanceof Error ? error.message : String(error));
    }
  }
}

function nameOf(name: string): SyscallName {
  const found = syscallNames().find((known) => known === name);
  if (found === undefined) throw new Error(`${name}: unknown`);
  return found;
}

main();
