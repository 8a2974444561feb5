import { spawn } from "node:child_process";
import { isAbsolute } from "node:path";
import { messageOf, ShimError, StatusCode } from "../error.js";
import type { Logger } from "../log/logger.js";
import { type Hook, type HookMoment, hooksOf } from "./oci/hooks.js";
import { JsonReader } from "./oci/json-reader.js";
import { readConfig } from "./oci/read-config.js";

/** What a hook says on its standard error is told, as far as it fits a message. */
const WORDS_MAX_BYTES = 2 * 1024;

/** How long the last words may take that came before the end. */
const WORDS_DELAY_MS = 100;

const STATUS: Readonly<Record<HookMoment, string>> = {
  prestart: "creating",
  createRuntime: "creating",
  poststart: "running",
  poststop: "stopped",
};

/** Whose hooks they are. */
export interface HookedContainer {
  readonly id: string;
  readonly bundle: string;
  /** config.json of the bundle. */
  readonly config: unknown;
  /** The process whose namespaces a hook may look into, QEMU's; 0 when it has ended. */
  readonly pid: number;
}

/**
 * Runs the hooks that a container's configuration has for a moment, one after the other, on the host: what makes networks for nerdctl is one. Those
 * for the inside of a container (createContainer, startContainer) are programs of the host that its guest does not have, and are left out.
 *
 * @throws ShimError UNKNOWN at the first one that fails
 */
export async function runHooks(container: HookedContainer, moment: HookMoment): Promise<void> {
  const hooks = hooksOf(container.config, moment);
  if (hooks.length === 0) return;
  const state = JSON.stringify(stateOf(container, moment));
  for (const [index, hook] of hooks.entries()) {
    try {
      await runHook(hook, state);
    } catch (cause) {
      throw new ShimError(
        StatusCode.UNKNOWN,
        `hook ${moment}[${index}] of ${container.id}, ${hook.path}: ${messageOf(cause)}`,
        { cause },
      );
    }
  }
}

/** The same for the moments at which nothing can be called off any more: what fails is told to the log. */
export async function attemptHooks(
  container: HookedContainer,
  moment: "poststart" | "poststop",
  logger: Pick<Logger, "warn">,
): Promise<void> {
  try {
    await runHooks(container, moment);
  } catch (error) {
    logger.warn("a hook failed", { container: container.id, error: messageOf(error) });
  }
}

/** runtime.md of the OCI runtime specification, "State". */
function stateOf({ id, bundle, config, pid }: HookedContainer, moment: HookMoment): object {
  const spec = JsonReader.of(config, "config.json");
  return {
    ociVersion: spec.text("ociVersion"),
    id,
    status: STATUS[moment],
    pid,
    bundle,
    annotations: spec.textByName("annotations"),
  };
}

function runHook({ path, args, env, timeoutMs }: Hook, state: string): Promise<void> {
  if (!isAbsolute(path)) throw new Error("not an absolute path");
  return new Promise((resolve, reject) => {
    const [argv0 = path, ...others] = args;
    const child = spawn(path, others, {
      argv0,
      env: Object.fromEntries(env.map(splitVariable)),
      stdio: ["pipe", "ignore", "pipe"],
      timeout: timeoutMs,
      killSignal: "SIGKILL",
    });
    let words = "";
    child.stderr.on("data", (chunk: Buffer) => {
      words = `${words}${chunk}`.slice(-WORDS_MAX_BYTES);
    });
    // A hook need not read what it is told.
    child.stdin.on("error", () => {});
    child.stdin.end(state);
    child.once("error", reject);
    const finish = (code: number | null, signal: NodeJS.Signals | null) => {
      child.stderr.destroy();
      if (code === 0) {
        resolve();
        return;
      }
      const how = child.killed ? `not done within ${timeoutMs} ms` : (signal ?? `exit status ${code}`);
      reject(new Error(words.trim() === "" ? how : `${how}: ${words.trim()}`));
    };
    child.once("close", finish);
    // What a hook leaves running may keep its standard error open.
    child.once("exit", (code, signal) => setTimeout(finish, WORDS_DELAY_MS, code, signal));
  });
}

function splitVariable(variable: string): [string, string] {
  const end = variable.indexOf("=");
  return end < 0 ? [variable, ""] : [variable.slice(0, end), variable.slice(end + 1)];
}

/** What the host has prepared for a container it takes back, though no shim is there to say so. @throws ShimError */
export async function runLastHooks(id: string, bundle: string): Promise<void> {
  await runHooks({ id, bundle, config: readConfig(bundle), pid: 0 }, "poststop");
}
