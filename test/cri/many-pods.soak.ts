import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFile } from "node:fs/promises";
import { after, before, describe, it } from "node:test";
import { leavesHostAsItWas } from "../e2e/host-state.js";
import { Node } from "./node.js";

/** Another series of containerd, or another number of pods: KATA_FS_CONTAINERD=2.1, KATA_FS_PODS=5. */
const { KATA_FS_CONTAINERD: series = "1.7", KATA_FS_PODS = "50" } = process.env;
const count = Number(KATA_FS_PODS);

/** What a pod's network is made of on the host: interfaces, and network namespaces. */
async function networkOf(node: Node): Promise<string> {
  const links = execFileSync("ip", ["-o", "link", "show", "master", node.bridge], { encoding: "utf8" });
  const mounts = await readFile("/proc/self/mountinfo", "utf8");
  return links + mounts.split("\n").filter((line) => line.includes(" nsfs ")).length;
}

describe(`pods that come and go under containerd ${series}`, () => {
  let node: Node;

  before(async () => {
    node = await Node.start(series);
  });
  after(() => node?.stop());

  it(`leave the host as it was: ${count} one after the other, each with two containers`, async () => {
    const runOne = async (name: string) => {
      const pod = await node.runPod(name);
      const init = await node.run(pod, "init", "echo ready");
      assert.equal((await node.untilExited(init)).exit_code, 0);
      const main = await node.run(pod, "main", "while :; do busybox sleep 1; done");
      assert.equal(await node.output(main, "busybox hostname"), `${name}\n`);
      await node.removePod(pod);
    };
    // containerd opens and makes some things once, and each pod leaves its logs, under the same name.
    await runOne("pod");
    const network = await networkOf(node);
    await leavesHostAsItWas(node.machine, async () => {
      for (let index = 0; index < count; index++) await runOne("pod");
    });
    assert.equal(await networkOf(node), network);
  });
});
