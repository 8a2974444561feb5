import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { addressOf, socketPath, writeAddress } from "./address.js";

let bundle: string;
beforeEach(() => {
  bundle = mkdtempSync(join(tmpdir(), "kata-fs-address-"));
});
afterEach(() => rmSync(bundle, { recursive: true, force: true }));

test("names the socket by containerd's convention", () => {
  const sha256 = createHash("sha256").update("/run/containerd/containerd.sock/k8s.io/pod1").digest("hex");
  assert.equal(
    socketPath("/run/containerd/containerd.sock", "k8s.io", "pod1"),
    `/run/containerd/s/${sha256}`,
  );
});

test("refuses a socket path that no socket address can hold", () => {
  assert.throws(() => socketPath("/a", "n", "i", `/${"d".repeat(42)}`), /longer than 106 bytes/);
  assert.equal(socketPath("/a", "n", "i", `/${"d".repeat(40)}`).length, 106);
});

test("the address file is what containerd dials, to the byte, and nothing else is left behind", () => {
  const address = addressOf("/run/containerd/s/1");
  writeAddress(bundle, address);
  assert.equal(readFileSync(join(bundle, "address"), "utf8"), "unix:///run/containerd/s/1");
  assert.deepEqual(readdirSync(bundle), ["address"]);
});
