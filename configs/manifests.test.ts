import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { parse } from "yaml";

const manifest = (name: string): unknown => parse(readFileSync(new URL(name, import.meta.url), "utf8"));

test("the RuntimeClass names the handler that an installation writes, what it costs, and where it is", () => {
  assert.deepEqual(manifest("runtime-class.yaml"), {
    apiVersion: "node.k8s.io/v1",
    kind: "RuntimeClass",
    metadata: { name: "kata-fs" },
    handler: "kata-fs",
    overhead: { podFixed: { memory: "416Mi", cpu: "250m" } },
    scheduling: { nodeSelector: { "kata-fs.io/runtime": "true" } },
  });
});

test("the DaemonSet runs what docs/install.md does", () => {
  const text = readFileSync(new URL("daemon-set.yaml", import.meta.url), "utf8");
  assert.doesNotThrow(() => parse(text));
  for (const command of ["npm install --global /opt/", "kata-fs install;", "systemctl restart containerd"])
    assert.ok(text.includes(command), command);
});
