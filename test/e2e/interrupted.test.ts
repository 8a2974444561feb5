import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { after, afterEach, before, describe, it } from "node:test";
import { IMAGE_NAME } from "../../setup/run/demo-image.js";
import { untilThere } from "./kill-matrix.js";
import { Machine, RUNTIME } from "./machine.js";
import { createTask } from "./tasks-client.js";

describe("a start that is interrupted half way", () => {
  let machine: Machine;

  before(async () => {
    machine = await Machine.start("1.7");
  });
  after(() => machine?.stop());
  afterEach(async () => {
    assert.deepEqual(await machine.leftovers(), []);
  });

  it("is rolled back when its caller takes it back, and its name can be used again", async () => {
    const creation = await createTask(machine, "c", ["/bin/true"]);
    await untilThere(machine.name("c"), "qemu");
    creation.cancel();
    await assert.rejects(creation.answered);
    assert.deepEqual(await machine.leftovers(), []);
    await machine.remove("c");
    const { status, stdout, stderr } = await machine.run("c", ["/bin/sh", "-c", "echo again"]);
    assert.deepEqual([status, stdout.toString()], [0, "again\n"], stderr);
  });

  it("is rolled back when its caller is killed", async () => {
    const name = machine.name("k");
    const words = ["run", "--runtime", RUNTIME, IMAGE_NAME, name, "/bin/true"];
    const [file = "", ...args] = machine.containerd.ctrCommand(...words);
    const ctr = spawn(file, args, { stdio: "ignore" });
    const ended = once(ctr, "exit");
    await untilThere(name, "qemu");
    ctr.kill("SIGKILL");
    await ended;
    await machine.untilStatus("k", undefined);
    assert.deepEqual(await machine.leftovers(), []);
    await machine.remove("k");
  });
});
