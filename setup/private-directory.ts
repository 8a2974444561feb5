import { join } from "node:path";
import { kataFsDirectory } from "../configs/directory.js";

/** Where everything that set-up makes lives: one directory, which the user may delete at any time. */
export interface PrivateDirectory {
  readonly path: string;
  /** Lists and downloads of apt, removed at the end of set-up. */
  readonly apt: string;
  readonly qemu: string;
  /** Kernel and guest OS directory. */
  readonly guest: string;
  readonly runc: string;
  readonly shmemPreload: string;
  /** Parent of what only tests use. */
  readonly testing: string;
  /** Facts for programs: see {@link Toolchain}. */
  readonly toolchainFile: string;
  /** The shim's configuration. */
  readonly configFile: string;
  /** Directory of one containerd series, such as "1.7". */
  containerd(series: string): string;
}

/** What set-up makes below {@link kataFsDirectory}. */
export function privateDirectory(env: NodeJS.ProcessEnv = process.env): PrivateDirectory {
  const path = kataFsDirectory(env);
  return {
    path,
    apt: join(path, ".apt"),
    qemu: join(path, "qemu"),
    guest: join(path, "guest"),
    runc: join(path, "runc"),
    shmemPreload: join(path, "shmem-preload"),
    testing: join(path, "testing"),
    toolchainFile: join(path, "toolchain.json"),
    configFile: join(path, "config.yaml"),
    containerd: (series) => join(path, "containerd", series),
  };
}
