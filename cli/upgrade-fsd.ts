import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { management } from "../proto/index.js";
import { messageOf } from "../shim/error.js";
import type { SandboxRecord } from "../shim/sandbox/record.js";
import type { Command } from "./command.js";
import { UsageError } from "./command.js";
import { readOptions } from "./options.js";
import { fullName, inspectSandboxes } from "./sandboxes/inspect.js";
import { sandboxNamed } from "./sandboxes/named.js";
import { askShim } from "./sandboxes/shim-client.js";

const USAGE = `\
  kata-fs upgrade-fsd SANDBOX | --all [--build FILE] [--json]

  Has another build of kata-fsd go on where the one of a running sandbox stops: the one that came with this command, or another
  fsd.cjs. The new one looks whether it knows the state that the other has left before that stops, and gives up else. Guests notice a
  pause, which is told. Exit status 1 when one was not upgraded: what it had goes on.

  kata-fs upgrade-fsd default/web
`;

/** More than the shim gives the new build to come up. */
const TIMEOUT_MS = 60_000;

export const upgradeFsdCommand: Command = {
  usage: USAGE,
  run: async (words, output) => {
    const { values, positionals } = readOptions(words, {
      all: { type: "boolean", default: false },
      build: { type: "string" },
      json: { type: "boolean", default: false },
    });
    const build = values.build === undefined ? ownBuild() : resolve(values.build);
    const outcomes = [];
    for (const sandbox of await sandboxesMeant(values.all, positionals)) {
      outcomes.push({ sandbox: fullName(sandbox), ...(await upgrade(sandbox, build)) });
    }
    if (values.json) output.out(`${JSON.stringify(outcomes, undefined, 2)}\n`);
    else output.out(outcomes.map(describe).join(""));
    return outcomes.every(({ problem }) => problem === undefined) ? 0 : 1;
  },
};

/** The daemon beside this command. */
function ownBuild(): string {
  return fileURLToPath(new URL("./fsd.cjs", import.meta.url));
}

async function sandboxesMeant(all: boolean, words: readonly string[]): Promise<SandboxRecord[]> {
  if (!all) return [await sandboxNamed(words)];
  if (words.length > 0) throw new UsageError("--all, or one sandbox");
  const sandboxes = await inspectSandboxes();
  return sandboxes.flatMap(({ condition, record }) =>
    condition === "running" && record !== undefined ? [record] : [],
  );
}

interface Outcome {
  readonly version?: string;
  readonly pauseMs?: number;
  readonly problem?: string;
}

async function upgrade(sandbox: SandboxRecord, build: string): Promise<Outcome> {
  const request = { codec: management.UpgradeDaemonRequest, message: { build } };
  try {
    const response = management.UpgradeDaemonResponse;
    const { version, pause_ms } = await askShim(sandbox, "UpgradeDaemon", response, request, TIMEOUT_MS);
    return { version, pauseMs: pause_ms };
  } catch (error) {
    return { problem: messageOf(error) };
  }
}

function describe({
  sandbox,
  version,
  pauseMs = 0,
  problem,
}: Outcome & { readonly sandbox: string }): string {
  return problem === undefined
    ? `${sandbox}: kata-fsd ${version} serves, after a pause of ${pauseMs.toFixed(1)} ms\n`
    : `${sandbox}: not upgraded: ${problem}\n`;
}
