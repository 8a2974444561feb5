import { existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { STATE_DIRECTORY } from "../../shim/sandbox/layout.js";
import { type Command, type Output, UsageError } from "../command.js";
import { readOptions } from "../options.js";
import { removeDirectory, removeLink, removeUnchanged, replace } from "./changes.js";
import { withoutRuntime } from "./containerd-config.js";
import { InstallError } from "./error.js";
import { type InstallRecord, readRecord, recordPath } from "./record.js";

const USAGE = `\
  kata-fs uninstall [--config FILE] [--keep-assets] [--force] [--dry-run] [--json]

  Takes back what \`kata-fs install\` has done, by the record that it left beside the configuration (--config,
  /etc/kata-fs/config.yaml): the runtime in containerd's configuration, links, files, and QEMU and guest, if it brought
  them (--keep-assets leaves those). What somebody has changed since stays, and is named.
  While sandboxes run it refuses, unless --force.
`;

export const uninstallCommand: Command = {
  usage: USAGE,
  run: async (words, output) => {
    const { values, positionals } = readOptions(words, {
      config: { type: "string", default: "/etc/kata-fs/config.yaml" },
      "keep-assets": { type: "boolean", default: false },
      force: { type: "boolean", default: false },
      "dry-run": { type: "boolean", default: false },
      json: { type: "boolean", default: false },
    });
    if (positionals.length > 0) throw new UsageError(`unexpected argument ${positionals[0]}`);
    const file = recordPath(values.config);
    const record = readRecord(file);
    const assets = values["keep-assets"] ? undefined : record.assets;
    if (values["dry-run"]) {
      tell(itemsOf(record, assets), [], values.json, output);
      return 0;
    }
    if (!values.force) requireIdle();
    const stays = undo(record, file, assets);
    tell(itemsOf(record, assets), stays, values.json, output);
    return 0;
  },
};

/** @throws InstallError when a sandbox is there */
function requireIdle(): void {
  const sandboxes = existsSync(STATE_DIRECTORY)
    ? readdirSync(STATE_DIRECTORY).filter((name) => !name.startsWith("."))
    : [];
  if (sandboxes.length === 0) return;
  throw new InstallError({
    found: `${sandboxes.length} sandboxes, ${join(STATE_DIRECTORY, sandboxes[0] ?? "")} among them`,
    needed: "their end, or --force",
  });
}

/** Returns what stays, and why. */
function undo(record: InstallRecord, file: string, assets: string | undefined): readonly string[] {
  const { containerdConfig, files, links, directories } = record;
  if (containerdConfig !== undefined && existsSync(containerdConfig)) {
    const text = readFileSync(containerdConfig, "utf8");
    const without = withoutRuntime(text);
    if (without !== text) replace(containerdConfig, without);
  }
  const stays = [...links.map(removeLink), ...files.map(removeUnchanged)];
  if (assets !== undefined) rmSync(assets, { recursive: true, force: true });
  rmSync(file);
  stays.push(...directories.toReversed().map(removeDirectory));
  return stays.filter((reason) => reason !== undefined);
}

function itemsOf(
  { containerdConfig, files, links, directories }: InstallRecord,
  assets: string | undefined,
): readonly string[] {
  return [
    ...(containerdConfig === undefined ? [] : [containerdConfig]),
    ...links.map(({ path }) => path),
    ...files.map(({ path }) => path),
    ...(assets === undefined ? [] : [assets]),
    ...directories,
  ];
}

function tell(items: readonly string[], stays: readonly string[], json: boolean, output: Output): void {
  if (json) {
    output.out(`${JSON.stringify({ takenBack: items, stays }, undefined, 2)}\n`);
    return;
  }
  for (const item of items) output.out(`take back  ${item}\n`);
  for (const reason of stays) output.err(`${reason}\n`);
}
