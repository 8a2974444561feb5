import { runtimeTables, withRuntime } from "../../cli/install/containerd-config.js";

export interface CriSettings {
  /** Of containerd, such as "1.7.24". */
  readonly version: string;
  /** Runs in each sandbox beside its containers, unless the shim is the sandboxer. */
  readonly sandboxImage: string;
  /** Folders of CNI's plugins, and of their configuration. */
  readonly cniPlugins: string;
  readonly cniConfiguration: string;
  /** The configuration of kata-fs. */
  readonly configPath: string;
  /** For what containerd itself installs. */
  readonly optional: string;
}

/** The runtime handlers: the one that `kata-fs install` writes, and the same with the shim as sandboxer. */
export const HANDLER = "kata-fs";
export const SHIM_HANDLER = "kata-fs-shim";

/** What containerd's CRI plugins are told, with what `kata-fs install` adds. @param bare containerd's configuration so far */
export function withCri(bare: string, settings: CriSettings): string {
  const isFirst = settings.version.startsWith("1.");
  const tables = runtimeTables(isFirst ? 2 : 3, { handler: HANDLER, configPath: settings.configPath });
  const node = `${bare}${isFirst ? forFirst(settings) : forSecond(settings)}`;
  return withRuntime(node, tables, HANDLER, "containerd's configuration");
}

const text = (value: string) => JSON.stringify(value);

/** containerd 1.6 and 1.7: one plugin has all. */
function forFirst(settings: CriSettings): string {
  const plugin = "io.containerd.grpc.v1.cri";
  return `
[plugins."${plugin}"]
sandbox_image = ${text(settings.sandboxImage)}
${STREAMS}
${SCORES}
[plugins."${plugin}".cni]
bin_dir = ${text(settings.cniPlugins)}
${common(settings)}`;
}

/** containerd 2.x, whose shims may be sandboxers. */
function forSecond(settings: CriSettings): string {
  const { sandboxImage, configPath } = settings;
  const plugin = "io.containerd.cri.v1.runtime";
  // containerd 2.1.9 takes the options of a runtime with this sandboxer for runc's and fails: the configuration is the environment's.
  const [shimTable = ""] = runtimeTables(3, { handler: SHIM_HANDLER, configPath }).split(
    /^ *\[.*\.options\]$/m,
  );
  return `
[plugins."io.containerd.cri.v1.images".pinned_images]
sandbox = ${text(sandboxImage)}
[plugins."io.containerd.grpc.v1.cri"]
${STREAMS}
[plugins."${plugin}"]
${SCORES}
[plugins."${plugin}".cni]
bin_dirs = [${text(settings.cniPlugins)}]
${common(settings)}
${shimTable.replace(/^ {2}runtime_type/m, '  sandboxer = "shim"\n$&')}`;
}

/** For exec, attach and port-forward: any port, of this machine alone. */
const STREAMS = `stream_server_address = "127.0.0.1"
stream_server_port = "0"`;

/** For machines on which root may not lower an OOM score. */
const SCORES = "restrict_oom_score_adj = true";

/** Goes behind the folder of CNI's plugins, whose key has another name in containerd 2. */
function common({ cniConfiguration, optional }: CriSettings): string {
  return `conf_dir = ${text(cniConfiguration)}
[plugins."io.containerd.internal.v1.opt"]
path = ${text(optional)}
`;
}
