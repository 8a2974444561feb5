/** The version in package.json, which a test compares: a bundle has no package.json beside it. */
export const VERSION = "0.1.0";

/** Name of the runtime as containerd's configuration has it. */
export const RUNTIME_NAME = "io.containerd.kata-fs.v2";
