import { resolve } from "node:path";

/** Where set-up puts all that it brings: `$KATA_FS_DIR`, as an absolute path; /opt/kata-fs where that is unset or empty. */
export function kataFsDirectory(env: NodeJS.ProcessEnv): string {
  return resolve(env["KATA_FS_DIR"] || "/opt/kata-fs");
}
