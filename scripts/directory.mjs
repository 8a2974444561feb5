import { join, resolve } from "node:path";

/** Where set-up puts all that it brings; as configs/directory.ts, which is not built yet when this is wanted. */
export const directory = resolve(process.env["KATA_FS_DIR"] || "/opt/kata-fs");

/** What tests read: where that is, and the file that says where programs are in it, see setup/toolchain.ts. */
export const testEnvironment = {
  KATA_FS_DIR: directory,
  KATA_FS_TOOLCHAIN: join(directory, "toolchain.json"),
};
