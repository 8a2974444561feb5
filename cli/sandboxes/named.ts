import type { SandboxRecord } from "../../shim/sandbox/record.js";
import { UsageError } from "../command.js";
import { findSandbox } from "./inspect.js";

/**
 * The one sandbox that a command line names.
 *
 * @throws UsageError when it names none, several, or one that nobody can ask
 */
export async function sandboxNamed(words: readonly string[]): Promise<SandboxRecord> {
  const [word, surplus] = words;
  if (word === undefined) throw new UsageError("no sandbox; needed: its id, as `kata-fs list` shows it");
  if (surplus !== undefined) throw new UsageError(`unexpected argument ${surplus}`);
  const { record, condition } = await findSandbox(word);
  if (record === undefined)
    throw new UsageError(`${word} has no record of whose it is; \`kata-fs gc\` removes it`);
  if (condition === "dead")
    throw new UsageError(
      `the shim of ${word} is gone; containerd's log has what it said, \`kata-fs gc\` removes the rest`,
    );
  return record;
}
