import { isAbsolute } from "node:path";
import { UsageError } from "../command.js";
import { readOptions } from "../options.js";

export interface InstallOptions {
  readonly handler: string;
  /** The configuration of kata-fs. */
  readonly config: string;
  /** Where the commands are linked. */
  readonly bin: string;
  readonly containerdConfig: string;
  /** The containerd that has to understand {@link containerdConfig}. */
  readonly containerd: string;
  readonly withoutAssets: boolean;
  readonly dryRun: boolean;
  readonly json: boolean;
}

/** @throws UsageError */
export function readInstallOptions(words: readonly string[]): InstallOptions {
  const { values, positionals } = readOptions(words, {
    handler: { type: "string", default: "kata-fs" },
    config: { type: "string", default: "/etc/kata-fs/config.yaml" },
    bin: { type: "string", default: "/usr/local/bin" },
    "containerd-config": { type: "string", default: "/etc/containerd/config.toml" },
    containerd: { type: "string", default: "containerd" },
    "without-assets": { type: "boolean", default: false },
    "dry-run": { type: "boolean", default: false },
    json: { type: "boolean", default: false },
  });
  if (positionals.length > 0) throw new UsageError(`unexpected argument ${positionals[0]}`);
  const { handler, config, bin, "containerd-config": containerdConfig } = values;
  for (const path of [config, bin, containerdConfig]) {
    if (!isAbsolute(path)) throw new UsageError(`${path} has to be an absolute path`);
  }
  if (!/^[A-Za-z0-9][A-Za-z0-9_-]*$/.test(handler)) {
    throw new UsageError(`--handler ${handler}: letters, digits, - and _ are needed`);
  }
  return {
    handler,
    config,
    bin,
    containerdConfig,
    containerd: values.containerd,
    withoutAssets: values["without-assets"],
    dryRun: values["dry-run"],
    json: values.json,
  };
}
