import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { after, before, describe, it } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { execute, Machine } from "./machine.js";

/** Makes a network as nerdctl's hook does: by the process that it is told of, for the namespace that this is in. */
const CREATE_RUNTIME = `
  pid=$(sed 's/.*"pid":\\([0-9]*\\).*/\\1/' < "$1.createRuntime")
  ip link add "$2" type veth peer name eth0 netns "$pid" &&
  ip addr add 10.216.0.1/24 dev "$2" && ip link set "$2" up &&
  nsenter --net="/proc/$pid/ns/net" sh -c 'ip addr add 10.216.0.2/24 dev eth0 && ip link set eth0 up'
`;

describe("the hooks of a container", () => {
  let machine: Machine;
  let link: string;

  before(async () => {
    machine = await Machine.start("1.7");
    link = `kf${machine.id.slice(-8)}`;
  });
  after(() => machine?.stop());

  const told = async (moment: string) =>
    JSON.parse(await readFile(join(machine.disk, `told.${moment}`), "utf8"));

  it("run on the host, in their order, and may make its network", async () => {
    const file = join(machine.disk, "told");
    const script = join(machine.disk, "hook");
    const text = `#!/bin/sh\ncat > "$1.$3"\necho "$3" >> "$1.order"\n[ "$3" != createRuntime ] || {${CREATE_RUNTIME}}\n`;
    await writeFile(script, text, { mode: 0o755 });
    const hook = (moment: string) => [
      {
        path: script,
        args: ["hook", file, link, moment],
        env: [`PATH=${process.env["PATH"]}`],
        timeout: 20,
      },
    ];
    const moments = ["prestart", "createRuntime", "poststart", "poststop"];
    const { status, stdout, stderr } = await machine.run(
      "hooked",
      ["/bin/sh", "-c", "busybox ip addr show dev eth0; busybox ping -c 1 -W 10 10.216.0.1"],
      {
        edit: (spec) => {
          spec["hooks"] = Object.fromEntries(moments.map((moment) => [moment, hook(moment)]));
        },
      },
    );
    assert.equal(status, 0, stderr);
    assert.match(stdout.toString(), /inet 10\.216\.0\.2\/24(.|\n)*1 packets received/);
    const { id, status: state, bundle } = await told("createRuntime");
    assert.deepEqual([id, state], [machine.name("hooked"), "creating"]);
    assert.equal(basename(bundle), machine.name("hooked"));
    assert.equal((await told("poststart")).status, "running");
    await untilOrder(file, `${moments.join("\n")}\n`);
    assert.deepEqual([(await told("poststop")).status, (await told("poststop")).pid], ["stopped", 0]);
    assert.notEqual((await execute(["ip", "link", "show", "dev", link])).status, 0, "the network has gone");
  });

  it("that fail keep it from being made, and are told why", async () => {
    const { status, stderr } = await machine.run("refused", ["/bin/true"], {
      edit: (spec) => {
        const args = ["sh", "-c", "echo no address left >&2; exit 1"];
        spec["hooks"] = { createRuntime: [{ path: "/bin/sh", args }] };
      },
    });
    assert.notEqual(status, 0);
    assert.match(stderr, /hook createRuntime\[0\] of \S+, \/bin\/sh: exit status 1: no address left/);
    assert.deepEqual(await machine.leftovers(), []);
  });
});

/** The last one comes after the answer that ctr has waited for. */
async function untilOrder(file: string, expected: string): Promise<void> {
  const deadline = performance.now() + 10_000;
  for (;;) {
    const found = await readFile(`${file}.order`, "utf8");
    if (found === expected) return;
    assert.ok(performance.now() < deadline, found);
    await delay(50);
  }
}
