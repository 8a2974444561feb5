import { existsSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { takeLock } from "../../scripts/exclusive.mjs";
import { capture } from "../../setup/command.js";
import { privateDirectory } from "../../setup/private-directory.js";
import { createProgress } from "../../setup/progress.js";
import { setUp } from "../../setup/set-up.js";
import type { Command, Output } from "../command.js";
import { apply, type Change, describe, revert } from "./changes.js";
import { type ConfigVersion, hasRuntime } from "./containerd-config.js";
import { InstallError } from "./error.js";
import { type InstallOptions, readInstallOptions } from "./options.js";
import { commandsBeside, type InstallFacts, planInstall, SERVICE_PATH } from "./plan.js";

const USAGE = `\
  kata-fs install [--dry-run] [--without-assets] [--handler NAME] [--json]
                  [--config FILE] [--bin DIR] [--containerd-config FILE] [--containerd PROGRAM]

  Makes kata-fs a runtime of the machine's containerd 1.6, 1.7 or 2.x:
    - brings QEMU and the guest to $KATA_FS_DIR (/opt/kata-fs), unless --without-assets says that the configuration
      names others
    - writes /etc/kata-fs/config.yaml (--config), unless it is there
    - links the commands in /usr/local/bin (--bin)
    - adds the runtime kata-fs (--handler) to /etc/containerd/config.toml (--containerd-config), after containerd has
      been asked whether it understands the result
  --dry-run says what would be done, and does nothing. \`kata-fs uninstall\` takes all of it back.
`;

/** The package: the parent of dist/, where the bundle of this file lies. */
const project = resolve(dirname(fileURLToPath(import.meta.url)), "..");

export const installCommand: Command = {
  usage: USAGE,
  run: async (words, output) => {
    const options = readInstallOptions(words);
    const containerdVersion = await requireContainerd(options.containerd);
    const directory = privateDirectory();
    const facts: InstallFacts = {
      commands: commandsBeside(join(project, "dist/kata-fs.cjs")),
      node: process.execPath,
      containerdVersion,
      setUpConfig: directory.configFile,
      assets: options.withoutAssets || existsSync(directory.path) ? undefined : directory.path,
    };
    // Before set-up, which takes minutes: whatever is in the way should be told now.
    const preview = planInstall(options, facts);
    await checkContainerdConfig(options, preview);
    if (options.dryRun) {
      tell(preview, options, output, { assets: !options.withoutAssets, directory: directory.path });
      return 0;
    }
    if (!options.withoutAssets) await bringAssets(output);
    const changes = planInstall(options, facts);
    await applyAll(changes, () => checkShim(options));
    tell(changes, options, output, { assets: !options.withoutAssets, directory: directory.path });
    if (!options.json) output.out(`\nNext: systemctl restart containerd\n`);
    return 0;
  },
};

async function bringAssets(output: Output): Promise<void> {
  const directory = privateDirectory();
  const giveBackLock = await takeLock(directory.path);
  try {
    const progress = createProgress(process.stderr);
    await setUp({ directory, project, containerd: "none", forTests: false, overrides: {}, progress });
    output.err(`set-up: all in ${directory.path}\n`);
  } finally {
    giveBackLock();
  }
}

/** Applies all of `changes`, or none when one of them or `check` fails. */
async function applyAll(changes: readonly Change[], check: () => Promise<void>): Promise<void> {
  const done: Change[] = [];
  try {
    for (const change of changes) {
      apply(change);
      done.push(change);
    }
    await check();
  } catch (error) {
    for (const change of done.reverse()) revert(change);
    throw error;
  }
}

/** @throws InstallError when there is no containerd that kata-fs works with */
async function requireContainerd(program: string): Promise<ConfigVersion> {
  const needed = "containerd 1.6, 1.7 or 2.x, or its path with --containerd";
  const { stdout } = await capture([program, "--version"]).catch((cause: Error) => {
    throw new InstallError({ found: `no containerd: ${cause.message}`, needed }, { cause });
  });
  const [, major = "", minor = ""] = /^containerd \S+ v?(\d+)\.(\d+)/.exec(stdout) ?? [];
  if (Number(major) >= 2) return 3;
  if (major === "1" && Number(minor) >= 6) return 2;
  throw new InstallError({ found: stdout.trim(), needed });
}

/** Has containerd itself read what its configuration will be. */
async function checkContainerdConfig(
  { containerd, containerdConfig, handler }: InstallOptions,
  changes: readonly Change[],
): Promise<void> {
  const change = changes.find(({ path }) => path === containerdConfig);
  if (change === undefined || !("contents" in change)) return;
  // Beside the file: what it imports may be named relative to it.
  const beside = existsSync(dirname(containerdConfig))
    ? containerdConfig
    : join("/run", "kata-fs-install.toml");
  const trial = `${beside}.trial-${process.pid}`;
  writeFileSync(trial, change.contents, { mode: 0o600 });
  try {
    const { status, stdout, stderr } = await capture([containerd, "--config", trial, "config", "dump"]);
    if (status === 0 && hasRuntime(stdout, handler, "containerd config dump")) return;
    const words = stderr.trim().split("\n").at(-1) || "containerd config dump does not show the runtime";
    throw new InstallError({
      found: `${containerdConfig} with the runtime added: ${words}`,
      needed: "a configuration that containerd understands",
    });
  } finally {
    rmSync(trial);
  }
}

/** Starts the shim as containerd does, with the PATH of a service. */
async function checkShim({ bin }: InstallOptions): Promise<void> {
  const shim = join(bin, "containerd-shim-kata-fs-v2");
  const { status, stderr } = await capture([shim, "-v"], { env: { PATH: SERVICE_PATH } });
  if (status === 0) return;
  throw new InstallError({ found: `${shim} -v: ${stderr.trim()}`, needed: "a shim that starts" });
}

function tell(
  changes: readonly Change[],
  { dryRun, json }: InstallOptions,
  output: Output,
  { assets, directory }: { assets: boolean; directory: string },
): void {
  if (json) {
    const list = changes.map((change) => ({ change: change.kind, path: change.path }));
    output.out(
      `${JSON.stringify({ dryRun, assets: assets ? directory : null, changes: list }, undefined, 2)}\n`,
    );
    return;
  }
  if (dryRun && assets) output.out(`bring           QEMU and guest to ${directory}, unless they are there\n`);
  for (const change of changes) output.out(`${describe(change)}\n`);
}
