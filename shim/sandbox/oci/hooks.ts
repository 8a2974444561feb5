import { JsonReader } from "./json-reader.js";

/** When a hook runs that is a program of the host: config.md of the OCI runtime specification, "POSIX-platform Hooks". */
export type HookMoment = "prestart" | "createRuntime" | "poststart" | "poststop";

export interface Hook {
  /** Absolute. */
  readonly path: string;
  /** As execve(2) takes them: the first is what the program is called by. */
  readonly args: readonly string[];
  /** NAME=value, and nothing else is in its environment. */
  readonly env: readonly string[];
  /** 0 for no limit. */
  readonly timeoutMs: number;
}

/** Whether a configuration has any. */
export function hasHooks(config: unknown): boolean {
  return JsonReader.of(config, "config.json").has("hooks");
}

/** The hooks of one moment, in their order. @param config config.json @throws ShimError INVALID_ARGUMENT */
export function hooksOf(config: unknown, moment: HookMoment): Hook[] {
  const hooks = JsonReader.of(config, "config.json").object("hooks").objects(moment);
  return hooks.map((hook) => {
    const path = hook.text("path");
    const args = hook.texts("args");
    return {
      path,
      args: args.length === 0 ? [path] : args,
      env: hook.texts("env"),
      timeoutMs: hook.number("timeout") * 1000,
    };
  });
}
