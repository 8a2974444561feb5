import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { release } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { cri } from "../../proto/index.js";
import { containerdSeries } from "../e2e/machine.js";
import { Node, type Pod } from "./node.js";
import { HANDLER, SHIM_HANDLER } from "./settings.js";
import { ContainerStream } from "./stream.js";

/** Goes on until it is told to end, and then ends at once. */
const SERVE = "trap 'exit 0' TERM; while :; do sleep 0.1; done";
/** All of the suite runs with this one, the gist of it with the others: KATA_FS_CONTAINERD=2.1. */
const { KATA_FS_CONTAINERD: WHOLE = "1.7" } = process.env;
const MIB = 2 ** 20;
/** capabilities(7), as a bit. */
const CAP_SYS_ADMIN = 1n << 21n;
const { CONTAINER } = cri.NamespaceMode;

const kinds = (await containerdSeries()).map((series) => ({ series, handler: HANDLER }));

for (const { series, handler } of [...kinds, { series: "2.1", handler: SHIM_HANDLER }]) {
  const hasContainer = handler === HANDLER;
  describe(`a pod under containerd ${series}${hasContainer ? "" : ", whose sandbox is the shim's"}`, () => {
    const whole = series === WHOLE ? it : it.skip;
    let node: Node;
    let pod: Pod;

    before(async () => {
      node = await Node.start(series);
      const sysctls = { "kernel.shm_rmid_forced": "1" };
      pod = await node.runPod("pod", { linux: { sysctls, security_context: { privileged: true } } }, handler);
    });
    after(() => node?.stop());

    it("has several containers in one VM, one after the other where that is wanted", async () => {
      const init = await node.run(pod, "init", "uname -r; exit 0");
      assert.equal((await node.untilExited(init)).exit_code, 0);
      assert.notEqual((await node.log(pod, "init")).trim(), release());

      const first = await node.run(pod, "first", `echo to stdout; echo to stderr >&2; ${SERVE}`);
      const second = await node.run(pod, "second", SERVE);
      const boot = "cat /proc/sys/kernel/random/boot_id";
      assert.equal(await node.output(first, boot), await node.output(second, boot));
      assert.equal(await node.output(first, "busybox hostname"), "pod\n");
      const { ip } = (await node.client.podSandboxStatus(pod.id)).network;
      assert.ok((await node.output(second, "busybox ip addr show dev eth0")).includes(`inet ${ip}/16 `), ip);
      assert.deepEqual((await node.log(pod, "first")).split("\n").sort(), ["", "to stderr", "to stdout"]);
      assert.equal((await node.client.listContainers()).length, 3);

      for (const id of [second, first]) {
        await node.client.stopContainer(id, 10);
        assert.equal((await node.client.containerStatus(id)).exit_code, 0);
      }
      for (const id of [init, second, first]) await node.client.removeContainer(id);
    });

    it("has its processes in one namespace, or each container's in its own", async () => {
      const alone = await node.run(pod, "alone", SERVE, {
        linux: { security_context: { namespace_options: { pid: CONTAINER } } },
      });
      const together = await node.run(pod, "together", SERVE);
      const ended = await node.run(pod, "ended", "exit 3");
      assert.equal((await node.untilExited(ended)).exit_code, 3);

      const init = "busybox tr '\\0' ' ' < /proc/1/cmdline";
      assert.match(await node.output(alone, init), /trap/);
      // What stands for the pod outlives all containers; without it the first container is in its place.
      assert.match(await node.output(together, init), hasContainer ? /sleep 1000000000/ : /trap/);
      const started = await node.run(pod, "started", SERVE);
      assert.match(await node.output(together, "ps"), /trap(.|\n)*trap/);
      // The first container's end may be that of all: containerd refuses to remove one that ends at that moment.
      for (const id of [alone, ended, started, together]) await node.client.removeContainer(id);
    });

    it("starts a container that fails again and again, and tells its last words", async () => {
      const before = await node.mountsOf(pod);
      for (let attempt = 0; attempt < (series === WHOLE ? 5 : 2); attempt++) {
        const message = join(node.directory, `message-${attempt}`);
        await writeFile(message, "");
        const id = await node.run(pod, "crash", "echo 'no database' > /dev/termination-log; exit 42", {
          metadata: { name: "crash", attempt },
          mounts: [{ container_path: "/dev/termination-log", host_path: message }],
        });
        const status = await node.untilExited(id);
        assert.deepEqual([status.exit_code, status.reason], [42, "Error"]);
        assert.equal(await readFile(message, "utf8"), "no database\n");
        await node.client.removeContainer(id);
      }
      assert.deepEqual(await node.mountsOf(pod), before);
    });

    it("gives its streams: exec with input and status, a terminal with a size, attach", async () => {
      const id = await node.run(pod, "streams", 'while read line; do echo "got $line"; done', {
        stdin: true,
      });
      const request = { container_id: id, stdin: true, stdout: true };
      const exec = await ContainerStream.open(
        await node.client.exec({
          ...request,
          stderr: true,
          cmd: ["/bin/sh", "-c", "read x; echo $x; exit 7"],
        }),
      );
      exec.write("hello\n");
      const { stdout, status } = await exec.ended();
      assert.equal(stdout, "hello\n");
      assert.match(status.message ?? "", /exit code 7|status 7/);

      const terminal = await ContainerStream.open(
        await node.client.exec({
          ...request,
          tty: true,
          cmd: ["/bin/sh", "-c", "while :; do busybox stty size; sleep 0.2; done"],
        }),
      );
      terminal.resize(123, 45);
      await terminal.untilOutput(/45 123/);
      terminal.close();

      const attached = await ContainerStream.open(await node.client.attach(request));
      attached.write("attached\n");
      await attached.untilOutput(/got attached/);
      attached.close();
      await node.client.removeContainer(id);
    });

    whole("is measured and given other limits while it runs", async () => {
      const id = await node.run(pod, "limits", SERVE, {
        linux: { resources: { memory_limit_in_bytes: 64 * MIB, cpu_period: 100_000, cpu_quota: 50_000 } },
      });
      const limit = "cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/cpu.max";
      assert.equal(await node.output(id, limit), `${64 * MIB}\n50000 100000\n`);
      await node.client.updateContainerResources(id, {
        memory_limit_in_bytes: 96 * MIB,
        cpu_period: 100_000,
        cpu_quota: 75_000,
      });
      assert.equal(await node.output(id, limit), `${96 * MIB}\n75000 100000\n`);
      const { cpu, memory } = await node.client.containerStats(id);
      assert.ok(cpu.usage_core_nano_seconds.value > 0);
      assert.ok(memory.working_set_bytes.value > 0);
      await node.client.removeContainer(id);
    });

    it("has its security context in the guest", async () => {
      const { RuntimeDefault } = cri.SecurityProfile.ProfileType;
      const id = await node.run(pod, "confined", SERVE, {
        linux: {
          security_context: {
            run_as_user: { value: 1234 },
            run_as_group: { value: 2345 },
            supplemental_groups: [3456],
            readonly_rootfs: true,
            no_new_privs: true,
            capabilities: { drop_capabilities: ["ALL"], add_capabilities: ["NET_BIND_SERVICE"] },
            seccomp: { profile_type: RuntimeDefault },
          },
        },
      });
      const status = await node.output(id, "cat /proc/1/status /proc/self/status");
      for (const line of [
        /^Uid:\t1234\t/m,
        /^Gid:\t2345\t/m,
        /^Groups:\t(2345 )?3456 ?$/m,
        /^NoNewPrivs:\t1$/m,
        /^Seccomp:\t2$/m,
        /^CapBnd:\t0000000000000400$/m,
      ])
        assert.match(status, line);
      assert.equal(await node.output(id, "cat /proc/sys/kernel/shm_rmid_forced"), "1\n");
      await node.output(id, "! (echo x > /x) 2>/dev/null");

      const privileged = await node.run(pod, "privileged", SERVE, {
        linux: { security_context: { privileged: true } },
      });
      const all = await node.output(privileged, "cat /proc/self/status");
      // All that containerd has to give: it depends on the machine.
      const bounding = BigInt(`0x${/^CapBnd:\t(\w+)$/m.exec(all)?.[1]}`);
      assert.ok((bounding & CAP_SYS_ADMIN) !== 0n, all);
      assert.match(all, /^Seccomp:\t0$/m);
      for (const each of [privileged, id]) await node.client.removeContainer(each);
    });

    it("is stopped and removed, also twice, and its containers after it", async () => {
      const left = await node.run(pod, "left", SERVE);
      await node.client.stopPodSandbox(pod.id);
      await node.client.stopPodSandbox(pod.id);
      assert.equal((await node.client.podSandboxStatus(pod.id)).state, cri.PodSandboxState.SANDBOX_NOTREADY);
      await node.client.stopContainer(left, 0);
      await node.client.removeContainer(left);
      await node.client.removeContainer(left);
      await node.client.removePodSandbox(pod.id);
      await node.client.removePodSandbox(pod.id);
      assert.deepEqual(await node.client.listPodSandbox(), []);
      assert.deepEqual(await node.machine.leftovers(), []);
    });

    whole("is refused with the field's name when it wants to be the host's, and leaves nothing", async () => {
      const { NODE } = cri.NamespaceMode;
      for (const [options, field] of [
        [{ network: NODE }, "hostNetwork"],
        [{ pid: NODE }, "hostPID"],
        [{ ipc: NODE }, "hostIPC"],
      ] as const) {
        const linux = { security_context: { namespace_options: options } };
        await assert.rejects(node.runPod(field.toLowerCase(), { linux }), (error: Error) => {
          assert.match(error.message, new RegExp(`${field}: true is not supported by kata-fs`));
          return true;
        });
      }
      assert.deepEqual(await node.machine.leftovers(), []);
    });
  });
}
