import assert from "node:assert/strict";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { privateDirectory } from "../../setup/private-directory.js";
import { containerdSeries, Machine } from "./machine.js";

const ANNOTATION = "io.katacontainers.config.hypervisor.default_memory";

const annotated = (value: string) => ["--annotation", `${ANNOTATION}=${value}`];

for (const series of await containerdSeries()) {
  describe(`the configuration of a sandbox, containerd ${series}`, () => {
    let machine: Machine;
    let file: string;
    before(async () => {
      machine = await Machine.start(series);
      // One that the environment does not name, with a drop-in that allows an annotation.
      file = join(machine.disk, "other.yaml");
      await mkdir(join(machine.disk, "other.d"));
      await writeFile(file, await readFile(privateDirectory().configFile, "utf8"));
      await writeFile(
        join(machine.disk, "other.d/50-annotations.yaml"),
        'hypervisor: { kernelParameters: "from.drop-in" }\nannotations: { enable: ["hypervisor\\\\..*"] }\n',
      );
    });
    after(() => machine?.stop());

    it("an annotation that is not enabled is refused in one line that names it", async () => {
      const { status, stderr } = await machine.run("refused", ["/bin/true"], { flags: annotated("384") });
      assert.notEqual(status, 0);
      assert.match(
        stderr,
        new RegExp(`annotation ${ANNOTATION} is not enabled; needed: annotations\\.enable`),
      );
    });

    it("ctr's --runtime-config-path, its drop-in and an annotation go one over the other", async () => {
      const { status, stdout, stderr } = await machine.run(
        "options",
        ["/bin/sh", "-c", "cat /proc/cmdline; head -n 1 /proc/meminfo"],
        { flags: ["--runtime-config-path", file, ...annotated("384")] },
      );
      assert.equal(status, 0, stderr);
      assert.match(stdout.toString(), /from\.drop-in/);
      const [, kilobytes] = /MemTotal: +(\d+) kB/.exec(stdout.toString()) ?? [];
      const mebibytes = Number(kilobytes) / 1024;
      assert(mebibytes > 256 && mebibytes < 384, `${mebibytes} MiB in the guest`);
    });

    it("a value that cannot be used fails the container with what is needed", async () => {
      const { status, stderr } = await machine.run("bad", ["/bin/true"], {
        flags: ["--runtime-config-path", file, ...annotated("much")],
      });
      assert.notEqual(status, 0);
      assert.match(stderr, /memoryMiB is .{0,2}much.{0,2}; needed: a whole number from 128/);
    });
  });
}
