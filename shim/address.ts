import { createHash, randomBytes } from "node:crypto";
import { renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** containerd looks for shim sockets nowhere else: the directory is a constant of its shim library. */
const SOCKET_DIRECTORY = "/run/containerd/s";

/** Longest path that fits sun_path of sockaddr_un with its terminating zero; containerd's own limit. */
const SOCKET_PATH_MAX_BYTES = 106;

/**
 * The socket of the shim that serves a sandbox. Everything that starts or cleans up a sandbox computes the same path, so no
 * record of it is needed.
 *
 * @param address containerd's gRPC socket
 * @throws RangeError if the path does not fit a socket address
 */
export function socketPath(
  address: string,
  namespace: string,
  sandboxId: string,
  directory = SOCKET_DIRECTORY,
): string {
  const name = createHash("sha256").update(`${address}/${namespace}/${sandboxId}`).digest("hex");
  const path = join(directory, name);
  if (Buffer.byteLength(path) > SOCKET_PATH_MAX_BYTES) {
    throw new RangeError(`socket path ${path} is longer than ${SOCKET_PATH_MAX_BYTES} bytes`);
  }
  return path;
}

/** The text that `address` holds, and `start` prints for version 2: the only form that containerd 1.6 to 2.x all dial. */
export function addressOf(path: string): string {
  return `unix://${path}`;
}

/**
 * Writes the bundle's `address` in one step: containerd reads it when it restarts, and a partial address would cost it the
 * task. No newline, containerd dials the file's exact text.
 */
export function writeAddress(bundle: string, address: string): void {
  writeFileAtomically(join(bundle, "address"), address);
}

/** Replaces a file in one step; a reader sees the old content or the new one, never a part. */
export function writeFileAtomically(file: string, content: string | Uint8Array): void {
  const temporary = `${file}.${randomBytes(4).toString("hex")}`;
  writeFileSync(temporary, content, { mode: 0o600, flag: "wx" });
  renameSync(temporary, file);
}
