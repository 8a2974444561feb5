import assert from "node:assert/strict";
import { test } from "node:test";
import { SUN_PATH_MAX_BYTES } from "../../lib/sys/unix-socket.js";
import { sandboxLayout } from "./layout.js";

const IDENTITY = { address: "/run/containerd/containerd.sock", namespace: "default", id: "c1" };

test("a sandbox's directory begins with its id and is its own", () => {
  const directories = [
    IDENTITY,
    { ...IDENTITY, namespace: "k8s.io" },
    { ...IDENTITY, address: "/run/other.sock" },
  ].map((identity) => sandboxLayout(identity).directory);
  for (const directory of directories) assert.match(directory, /^\/run\/kata-fs\/c1-[0-9a-f]{8}$/);
  assert.equal(new Set(directories).size, 3);
  assert.equal(sandboxLayout({ ...IDENTITY }).directory, directories[0]);
});

test("sockets have room in their address, whatever id containerd allows", () => {
  const { guestSocket, sharedSocket, ownSocket, metricsSocket, vsockDeviceSocket, vsockSocket } =
    sandboxLayout({
      ...IDENTITY,
      id: "x".repeat(76),
    });
  for (const path of [guestSocket, sharedSocket, ownSocket, metricsSocket, vsockDeviceSocket, vsockSocket]) {
    assert(path.length <= SUN_PATH_MAX_BYTES, path);
  }
});
