import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { chmod, cp, mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { after, before, describe, it } from "node:test";
import { execute, Machine, type Outcome, project } from "./machine.js";

/** `node scripts/start.mjs`, which is what `npm start` runs, with changes to its environment. */
function start(changes: NodeJS.ProcessEnv): Promise<Outcome> {
  return execute([process.execPath, join(project, "scripts/start.mjs")], undefined, {
    ...process.env,
    ...changes,
  });
}

/** What a mistake ends in: a failure, and one line on stderr that says what was found and what is needed. */
function assertRefused({ status, stderr }: Outcome, expected: RegExp): void {
  assert.notEqual(status, 0);
  const lines = stderr.trim().split("\n");
  assert.equal(lines.length, 1, stderr);
  assert.match(lines[0] ?? "", /^kata-fs: /);
  assert.match(lines[0] ?? "", expected);
}

describe("npm start refuses in one line", () => {
  let scratch: string;
  /** A private directory that does not exist, so everything is missing. */
  let nothing: string;

  before(async () => {
    scratch = await mkdtemp(join(tmpdir(), "kata-fs-bad-"));
    nothing = join(scratch, "private");
  });
  after(() => rm(scratch, { recursive: true }));

  /** A PATH on which there are no other programs than these. */
  async function pathWith(name: string, programs: readonly string[]): Promise<string> {
    const folder = join(scratch, name);
    await mkdir(folder);
    for (const program of programs) {
      const found = (process.env["PATH"] ?? "")
        .split(delimiter)
        .map((directory) => join(directory, program))
        .find(existsSync);
      if (found !== undefined) await symlink(found, join(folder, program));
    }
    return folder;
  }

  async function configuration(name: string, yaml: string): Promise<NodeJS.ProcessEnv> {
    const file = join(scratch, name);
    await writeFile(file, yaml);
    return { KATA_FS_CONFIG: file };
  }

  it("a user that is not root", async () => {
    // A copy, for a user who may not look into root's folders. What needs more than the scripts comes after the refusal.
    await chmod(scratch, 0o755);
    await cp(join(project, "scripts"), join(scratch, "scripts"), { recursive: true });
    const words = [
      "setpriv",
      "--reuid",
      "65534",
      "--clear-groups",
      process.execPath,
      join(scratch, "scripts/start.mjs"),
    ];
    const outcome = await execute(words, undefined, { ...process.env, KATA_FS_DIR: nothing, HOME: "/" });
    assertRefused(outcome, /user id 65534; needed: root/);
  });

  it("a machine without apt", async () => {
    const PATH = await pathWith("no-apt", ["node", "npm", "sh", "env", "cc", "dpkg-deb"]);
    assertRefused(await start({ KATA_FS_DIR: nothing, PATH }), /no apt-get on this machine; needed: /);
  });

  it("a machine without a compiler", async () => {
    const PATH = await pathWith("no-cc", [
      "node",
      "npm",
      "sh",
      "env",
      "apt-get",
      "apt-config",
      "dpkg",
      "dpkg-deb",
    ]);
    assertRefused(
      await start({ KATA_FS_DIR: nothing, PATH }),
      /no C compiler .*needed: .*gcc.* or "dax: off"/,
    );
    assert.equal(existsSync(nothing), false);
  });

  it("a mirror that cannot be reached", async () => {
    const APT_CONFIG = join(scratch, "apt.conf");
    // Port 9, discard, is open nowhere.
    await writeFile(
      APT_CONFIG,
      'Acquire::http::Proxy "http://127.0.0.1:9"; Acquire::https::Proxy "http://127.0.0.1:9";\n',
    );
    assertRefused(
      await start({ KATA_FS_DIR: nothing, APT_CONFIG }),
      /cannot be had from the mirror .*127\.0\.0\.1.*needed: /,
    );
    assert.equal(existsSync(nothing), false);
  });

  it("an unknown key, and a value of a wrong type, with their place", async () => {
    const unknown = await start(await configuration("unknown.yaml", "hypervisor:\n  cpu: 1\n"));
    assertRefused(
      unknown,
      /unknown\.yaml:2: unknown key hypervisor\.cpu; needed: .*nearest is (hypervisor\.)?cpus/,
    );
    const wrong = await start(await configuration("wrong.yaml", "hypervisor:\n  cpus: many\n"));
    assertRefused(wrong, /wrong\.yaml:2: hypervisor\.cpus is "many"; needed: a whole number/);
  });

  it("a QEMU that is missing, or too old for DAX", async () => {
    const missing = await start(
      await configuration("missing.yaml", "hypervisor:\n  argv: [/no/such/qemu]\n"),
    );
    assertRefused(missing, /no QEMU at \/no\/such\/qemu.*needed: QEMU 11\.1 or newer/);
    const qemu = join(scratch, "qemu-7.2");
    await writeFile(qemu, '#!/bin/sh\necho "QEMU emulator version 7.2.0"\n');
    await chmod(qemu, 0o755);
    const old = await start(await configuration("old.yaml", `hypervisor:\n  argv: [${qemu}]\n`));
    assertRefused(old, /QEMU 7\.2\.0 at .*needed: QEMU 11\.1 or newer for DAX, or "dax: off"/);
  });
});

describe("a container is refused in one line, and leaves nothing,", () => {
  const cases = [
    {
      title: "when the guest's kernel is missing",
      changes: { hypervisor: { kernel: "/no/such/kernel" } },
      expected: /\/no\/such\/kernel.*needed: hypervisor\.kernel/,
    },
    {
      title: "when QEMU dies at its start",
      changes: { hypervisor: { firmware: "no-such-firmware.bin" } },
      expected: /QEMU.*no-such-firmware\.bin/s,
    },
    {
      title: "when kata-fsd dies at its start",
      changes: { daemon: { path: "/bin/false" } },
      expected: /kata-fsd|\/bin\/false/,
    },
    {
      title: "when the agent does not answer in time, with the guest's last words",
      changes: {
        hypervisor: { kernelParameters: "init=/no/such/init panic=0" },
        timeLimits: { bootSeconds: 12 },
      },
      expected: /agent.*(no such init|Requested init|Kernel panic|panic)/is,
    },
  ];

  for (const { title, changes, expected } of cases) {
    it(title, async () => {
      const machine = await Machine.start("1.7", changes);
      try {
        const { status, stderr } = await machine.run("refused", ["/bin/busybox", "true"]);
        assert.notEqual(status, 0);
        assert.match(stderr, expected);
        assert.deepEqual(await machine.leftovers(), []);
      } finally {
        await machine.stop();
      }
    });
  }
});
