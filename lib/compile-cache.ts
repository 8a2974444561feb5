import * as module from "node:module";

/**
 * Writes what V8 has compiled so far to the directory that the launchers name in NODE_COMPILE_CACHE, for the next start of the same
 * program. Node.js would do so at its end, which a killed process does not have, and a sandboxed one not with files. Nothing
 * to do for Node.js 20, which has no such cache, nor when the cache has it all.
 */
export function flushCompileCache(): void {
  if ("flushCompileCache" in module && typeof module.flushCompileCache === "function") {
    module.flushCompileCache();
  }
}
