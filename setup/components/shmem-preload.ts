import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { CommandError, run } from "../command.js";
import type { Component } from "../component.js";
import { SetupError } from "../setup-error.js";

/** Name of the library in the component's directory. */
export const SHMEM_PRELOAD = "shmem-preload.so";

/** First one that starts is used; $CC goes before them. */
const COMPILERS = ["cc", "gcc", "clang"];

const FLAGS = [
  "-std=gnu11",
  "-O2",
  "-fPIC",
  "-shared",
  "-fvisibility=hidden",
  "-fstack-protector-strong",
  "-Wall",
  "-Wextra",
  "-Wl,-z,relro,-z,now,-z,noexecstack",
];

/** The library that lets QEMU map read-only descriptors (see the comment in its source), built with the machine's compiler. */
export async function shmemPreloadComponent(directory: string, source: string): Promise<Component> {
  const digest = createHash("sha256")
    .update(await readFile(source))
    .digest("hex");
  return {
    title: "read-only-map library for QEMU",
    directory,
    provides: [SHMEM_PRELOAD],
    recipe: `${digest} ${FLAGS.join(" ")}`,
    async build(staging) {
      const compiler = await findCompiler();
      // dlsym lives in libdl before glibc 2.34; naming it is harmless after.
      await run([compiler, ...FLAGS, "-o", join(staging, SHMEM_PRELOAD), source, "-ldl"]);
      return `built with ${compiler}`;
    },
  };
}

/**
 * The first compiler that starts.
 *
 * @throws SetupError when there is none.
 */
export async function findCompiler(): Promise<string> {
  const { CC: own = "" } = process.env;
  const candidates = own === "" ? COMPILERS : [own, ...COMPILERS];
  for (const compiler of candidates) {
    try {
      await run([compiler, "--version"]);
      return compiler;
    } catch (error) {
      // Not there: the next one may be. What none of them is, is told below.
      if (!(error instanceof CommandError)) throw error;
    }
  }
  throw new SetupError({
    found: `no C compiler for the read-only-map library (tried ${candidates.join(", ")})`,
    needed:
      'one of them with libc headers ("apt-get install gcc libc6-dev"), or "dax: off" in the configuration',
  });
}
