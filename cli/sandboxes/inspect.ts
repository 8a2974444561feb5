import { statSync } from "node:fs";
import { basename } from "node:path";
import { management } from "../../proto/index.js";
import { messageOf } from "../../shim/error.js";
import { recordedProcesses, recordedShim } from "../../shim/sandbox/child.js";
import { layoutOf, STATE_DIRECTORY } from "../../shim/sandbox/layout.js";
import { findSandboxes, type SandboxRecord } from "../../shim/sandbox/record.js";
import { UsageError } from "../command.js";
import { askShim } from "./shim-client.js";

/**
 * What became of a sandbox: its VM runs; it has none (yet, or any more); its shim lives and does not answer; its shim is gone.
 */
export type Condition = "running" | "no machine" | "silent" | "dead";

/** A sandbox's directory, and what could be learnt about it. */
export interface SandboxState {
  readonly name: string;
  readonly directory: string;
  readonly condition: Condition;
  readonly record: SandboxRecord | undefined;
  /** Its processes that live. */
  readonly shimPid: number | undefined;
  readonly otherPids: readonly number[];
  readonly description: management.Description | undefined;
  /** Why the shim has not answered. */
  readonly problem: string | undefined;
}

/** A directory without processes is being made if it is no older. */
const FRESH_MS = 10_000;

/** All sandboxes of this machine. */
export async function inspectSandboxes(stateDirectory: string = STATE_DIRECTORY): Promise<SandboxState[]> {
  const found = findSandboxes(stateDirectory).filter(({ directory }) => !isBeingMade(directory));
  return await Promise.all(found.map(({ directory, record }) => inspect(directory, record)));
}

/**
 * The sandbox that a user means: by its id, by NAMESPACE/ID, or by the beginning of its directory's name.
 *
 * @throws UsageError when there is none, or several
 */
export async function findSandbox(word: string, stateDirectory?: string): Promise<SandboxState> {
  const all = await inspectSandboxes(stateDirectory);
  const exact = all.filter(
    ({ record }) => record !== undefined && [record.id, fullName(record)].includes(word),
  );
  const candidates = exact.length > 0 ? exact : all.filter(({ name }) => name.startsWith(word));
  const [only, ...others] = candidates;
  if (only !== undefined && others.length === 0) return only;
  if (only === undefined)
    throw new UsageError(`there is no sandbox ${word}; \`kata-fs list\` shows those that there are`);
  const names = candidates.map(({ name, record }) => (record === undefined ? name : fullName(record)));
  throw new UsageError(`${word} may be each of ${names.join(", ")}; needed: one of these`);
}

export function fullName({ namespace, id }: SandboxRecord): string {
  return `${namespace}/${id}`;
}

async function inspect(directory: string, record: SandboxRecord | undefined): Promise<SandboxState> {
  const { processes } = layoutOf(directory);
  const shimPid = recordedShim(processes);
  const state = {
    ...{ name: basename(directory), directory, record, shimPid },
    otherPids: recordedProcesses(processes).filter((pid) => pid !== shimPid),
  };
  if (shimPid === undefined || record === undefined) {
    const condition = shimPid === undefined ? "dead" : "silent";
    return { ...state, condition, description: undefined, problem: undefined };
  }
  try {
    const description = await askShim(record, "Describe", management.Description);
    const condition = description.vm == null ? "no machine" : "running";
    return { ...state, condition, description, problem: undefined };
  } catch (error) {
    return { ...state, condition: "silent", description: undefined, problem: messageOf(error) };
  }
}

function isBeingMade(directory: string): boolean {
  const stat = statSync(directory, { throwIfNoEntry: false });
  // It has gone meanwhile.
  if (stat === undefined) return true;
  const isRecorded = statSync(layoutOf(directory).processes, { throwIfNoEntry: false }) !== undefined;
  return !isRecorded && Date.now() - stat.mtimeMs < FRESH_MS;
}
