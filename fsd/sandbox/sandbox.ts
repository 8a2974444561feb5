import { installSeccompFilter } from "../../lib/sys/seccomp.js";
import { compileSeccompFilter, SeccompReturn } from "../../lib/sys/seccomp-filter.js";
import { architectureOfHost } from "../../lib/sys/syscall-number.js";
import type { SandboxOptions, SeccompAction } from "../options/parse.js";
import { findDescriptorsInWorkingDirectory } from "../passthrough/proc-path.js";
import { allowedSyscalls } from "./allowed-syscalls.js";
import { closeDirectories } from "./descriptors.js";
import { SandboxError } from "./error.js";
import { limitResources } from "./limits.js";
import { dropPrivileges, keptCapabilities } from "./privileges.js";
import { enterOwnRoot, enterSharedDirectory, type SharedDirectory } from "./root-directory.js";

/** Set by the launcher to "daemon" in the namespaces that it has made. See fsd/launcher.sh. */
const STAGE_VARIABLE = "KATA_FSD_STAGE";

const ACTIONS: Readonly<Record<Exclude<SeccompAction, "none">, number>> = {
  kill: SeccompReturn.killProcess,
  log: SeccompReturn.log,
  trap: SeccompReturn.trap,
};

/**
 * Takes from this process everything that serving the shared directories does not need, for good; see docs/security.md. What needs
 * more, such as listening, is done before.
 *
 * @param keptDirectories descriptors of directories that stay open
 *
 * @returns where the shared directories are from now on, in their order
 * @throws SandboxError, SysError. The process must not serve then: part of it may be done.
 */
export function enterSandbox(
  options: SandboxOptions,
  directories: readonly SharedDirectory[],
  keptDirectories: readonly number[] = [],
): string[] {
  const kept = keptCapabilities(options.capabilities);
  limitResources();
  const paths = enterRoot(options, directories, keptDirectories);
  dropPrivileges(kept);
  if (options.seccomp !== "none") filterSystemCalls(ACTIONS[options.seccomp]);
  return paths;
}

function enterRoot(
  { mode }: SandboxOptions,
  directories: readonly SharedDirectory[],
  keptDirectories: readonly number[],
): string[] {
  if (mode === "none") return directories.map(({ path }) => path);
  closeDirectories(keptDirectories);
  if (mode === "chroot") {
    findDescriptorsInWorkingDirectory();
    return enterSharedDirectory(directories);
  }
  if (process.env[STAGE_VARIABLE] !== "daemon") {
    throw new SandboxError(
      "--sandbox=namespace: kata-fsd was started without namespaces of its own; bin/kata-fsd makes them",
    );
  }
  return enterOwnRoot(directories);
}

/** @param otherwise a SECCOMP_RET value, for calls that are not allowed */
function filterSystemCalls(otherwise: number): void {
  const architecture = architectureOfHost();
  if (architecture === undefined) {
    throw new SandboxError(
      `--seccomp: the numbers of the system calls on ${process.arch} are not known; only --seccomp=none is possible`,
    );
  }
  installSeccompFilter(
    compileSeccompFilter(allowedSyscalls(process.pid), architecture, otherwise),
    architecture,
  );
}
