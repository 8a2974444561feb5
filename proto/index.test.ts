import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { build } from "esbuild";
import { agent, containerd } from "./index.js";

describe("messages", () => {
  it("decode 64-bit fields to numbers", () => {
    const bytes = containerd.Timestamp.encode({ seconds: 2 ** 40 + 1 }).finish();
    assert.equal(Buffer.from(bytes).toString("hex"), "08818080808020");
    assert.equal(containerd.Timestamp.decode(bytes).seconds, 2 ** 40 + 1);
    const details = agent.GuestDetailsResponse.encode({ mem_block_size_bytes: 2 ** 33 }).finish();
    assert.equal(agent.GuestDetailsResponse.decode(details).mem_block_size_bytes, 2 ** 33);
    const negative = agent.LinuxPids.encode({ Limit: -1 }).finish();
    assert.equal(agent.LinuxPids.decode(negative).Limit, -1);
  });

  it("do so in a bundle, too", async () => {
    const { outputFiles } = await build({
      stdin: {
        contents: `import { containerd } from "./proto/index.js";
          globalThis.decoded = containerd.Timestamp.decode(Uint8Array.of(0x08, 0x81, 0x80, 0x80, 0x80, 0x80, 0x20)).seconds;`,
        resolveDir: process.cwd(),
      },
      bundle: true,
      platform: "node",
      format: "cjs",
      write: false,
    });
    const { createRequire } = await import("node:module");
    const run = new Function("require", "module", outputFiles[0]?.text ?? "");
    run(createRequire(import.meta.url), { exports: {} });
    assert.equal((globalThis as unknown as { decoded: unknown }).decoded, 2 ** 40 + 1);
  });

  it("read unsent fields as defaults", () => {
    const request = containerd.CreateTaskRequest.decode(new Uint8Array(0));
    assert.deepEqual([request.id, request.terminal, request.rootfs], ["", false, []]);
  });

  it("have containerd's numbers", () => {
    const request = containerd.CreateTaskRequest.encode({
      id: "c",
      bundle: "/b",
      rootfs: [{ type: "overlay", source: "overlay", options: ["index=off"] }],
      terminal: true,
      options: { type_url: "t", value: Uint8Array.of(1) },
    }).finish();
    const mount = "0a076f7665726c6179" + "12076f7665726c6179" + "2209696e6465783d6f6666";
    assert.equal(
      Buffer.from(request).toString("hex"),
      `0a0163${"12022f62"}1a1d${mount}2001${"5206"}0a0174120101`,
    );

    const envelope = containerd.ForwardRequest.encode({
      envelope: {
        namespace: "n",
        topic: "/tasks/exit",
        event: {
          type_url: "containerd.events.TaskExit",
          value: containerd.TaskExit.encode({ container_id: "c", id: "c", pid: 7, exit_status: 3 }).finish(),
        },
      },
    }).finish();
    const { event } = containerd.ForwardRequest.decode(envelope).envelope ?? {};
    assert.equal(Buffer.from(event?.value ?? []).toString("hex"), "0a01631201631807" + "2003");
  });

  it("have the agent's numbers", () => {
    const bytes = agent.CreateContainerRequest.encode({
      container_id: "c",
      storages: [{ driver: "overlayfs", mount_point: "/m" }],
      OCI: { Version: "1", Process: { Args: ["a"] }, Root: { Path: "/r" } },
    }).finish();
    const storage = "0a096f7665726c61796673" + "32022f6d";
    const oci = "0a0131" + "1203220161" + "1a04" + "0a022f72";
    assert.equal(Buffer.from(bytes).toString("hex"), `0a0163${"2a0f"}${storage}320e${oci}`);
  });
});
