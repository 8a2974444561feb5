import { containerd } from "../proto/index.js";
import { RUNTIME_NAME, VERSION } from "./version.js";

/** What `-info` prints: a serialized containerd.types.RuntimeInfo. */
export function runtimeInfo(): Uint8Array {
  return containerd.RuntimeInfo.encode({ name: RUNTIME_NAME, version: { version: VERSION } }).finish();
}

/** What `-version` prints. */
export function versionText(): string {
  return `containerd-shim-kata-fs-v2:\n  Version: ${VERSION}\n  Runtime: ${RUNTIME_NAME}\n  Node.js: ${process.version}\n`;
}
