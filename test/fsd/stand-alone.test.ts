import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import type { Toolchain } from "../../setup/toolchain.js";
import { project, toolchain } from "../e2e/machine.js";
import { FileSystemDaemon } from "../guest/file-system-daemon.js";
import { type GuestOptions, runGuest } from "../guest/run-guest.js";

// kata-fsd under QEMU alone, started by the very lines of docs/fsd.md.

const MiB = 1 << 20;

/** The lines of docs/fsd.md for one kind of device. */
interface Lines {
  /** Arguments of kata-fsd. */
  readonly daemon: readonly string[];
  /** Arguments of QEMU from the socket on. */
  readonly devices: readonly string[];
  /** What the guest runs. */
  readonly mount: string;
}

/** Takes the lines for the device out of the page: a block for the host, and behind it one for the guest. */
async function documentedLines(device: string): Promise<Lines> {
  const page = await readFile(join(project, "docs/fsd.md"), "utf8");
  const blocks = [...page.matchAll(/```sh\n(.*?)```/gs)].map(([, block = ""]) =>
    block.replaceAll("\\\n", " "),
  );
  const at = blocks.findIndex((block) => block.includes(`-device ${device},`));
  assert.ok(at >= 0, `docs/fsd.md has no lines for ${device}`);
  const [daemon = "", qemu = ""] = (blocks[at] ?? "").split("&\n");
  const words = qemu.trim().split(/\s+/);
  // What stands before is the machine, which has a different size here.
  assert.ok(qemu.includes("-object memory-backend-memfd,id=ram,size=1G,share=on"));
  assert.ok(qemu.includes("-machine q35,memory-backend=ram"));
  return {
    daemon: daemon.trim().split(/\s+/).slice(1),
    devices: words.slice(words.indexOf("-chardev")),
    mount: blocks[at + 1] ?? "",
  };
}

interface Share {
  readonly directory: string;
  readonly socket: string;
  /** Of the file "large". */
  readonly md5: string;
}

async function share(t: TestContext): Promise<Share> {
  const base = await mkdtemp(join(tmpdir(), "kata-fsd-alone-"));
  t.after(() => rm(base, { recursive: true, force: true }));
  const directory = join(base, "shared");
  await mkdir(directory);
  const large = randomBytes(5 * MiB);
  await writeFile(join(directory, "large"), large);
  return { directory, socket: join(base, "fs.sock"), md5: createHash("md5").update(large).digest("hex") };
}

/** Follows the page with a directory and a socket of this test, and runs `script` in the guest behind its mount command. */
async function follow(
  t: TestContext,
  qemu: Pick<Toolchain["qemu"], "argv" | "env">,
  lines: Lines,
  script: string,
  processors: Pick<GuestOptions, "cpu" | "cpus"> = {},
) {
  const { kernel, guestRoot: tools } = await toolchain();
  const { directory, socket, md5 } = await share(t);
  const here = (word: string) => word.replace("/srv/data", directory).replace("/run/fs.sock", socket);
  const daemon = await FileSystemDaemon.start([
    join(project, "dist/bin/kata-fsd"),
    ...lines.daemon.map(here),
  ]);
  t.after(() => daemon.kill());
  const outcome = await runGuest({
    ...{ qemu, kernel, tools, ...processors },
    script: `set -e\n${lines.mount}\n${script}`,
    devices: lines.devices.map(here),
  });
  assert.equal(outcome.status, 0, `${outcome.output}${outcome.console}`);
  assert.equal(await daemon.ended(), 0, daemon.lines.join("\n"));
  assert.ok(!existsSync(socket), "the socket goes with the daemon");
  return { output: outcome.output, directory, md5 };
}

const READ_AND_WRITE = `
  md5sum </mnt/large
  echo "from the guest" >/mnt/new
  mv /mnt/new /mnt/renamed
`;

async function readAndWrite(
  t: TestContext,
  qemu: Pick<Toolchain["qemu"], "argv" | "env">,
  processors: Pick<GuestOptions, "cpu"> = {},
): Promise<void> {
  const lines = await documentedLines("vhost-user-fs-pci");
  const { output, directory, md5 } = await follow(t, qemu, lines, READ_AND_WRITE, processors);
  assert.equal(output, `${md5}  -\n`);
  assert.equal(await readFile(join(directory, "renamed"), "utf8"), "from the guest\n");
}

test("QEMU 11.1 maps files of a directory into the guest", async (t) => {
  const { qemu } = await toolchain();
  const script = `
    grep -o 'dax=always' /proc/mounts
    cached() { awk '/^Cached:/ { print $2 }' /proc/meminfo; }
    before=$(cached)
    md5sum </mnt/large
    # The file lies in the window: the guest's page cache has not grown by it.
    [ $(($(cached) - before)) -lt 2048 ]
    ! touch /mnt/new 2>/dev/null
  `;
  const { output, md5 } = await follow(t, qemu, await documentedLines("vhost-user-test-device-pci"), script);
  assert.equal(output, `dax=always\n${md5}  -\n`);
});

test("QEMU 11.1 without DAX: a directory is read and written to", async (t) => {
  await readAndWrite(t, (await toolchain()).qemu);
});

test("each processor of a guest has a request queue of its own", async (t) => {
  const { qemu } = await toolchain();
  const lines = await documentedLines("vhost-user-fs-pci");
  const device = (word: string) =>
    word.replace("vhost-user-fs-pci,", "vhost-user-fs-pci,num-request-queues=2,");
  const script = `
    for mask in 1 2; do taskset $mask md5sum </mnt/large; done
    awk '/-requests\\./ { print ($2 + $3 > 0) }' /proc/interrupts
  `;
  const queues = {
    ...lines,
    daemon: [...lines.daemon, "--request-queues=2"],
    devices: lines.devices.map(device),
  };
  const { output, md5 } = await follow(t, qemu, queues, script, { cpus: 2 });
  assert.equal(output, `${md5}  -\n${md5}  -\n1\n1\n`);
});

test("QEMU 7.2: a directory is read and written to", async (t) => {
  const qemu = (await toolchain()).testing?.qemu["7.2"];
  assert.ok(qemu, "set-up brought no QEMU 7.2");
  // The emulation of this age now and then gets CMPXCHG16B wrong, which the guest's kernel uses if there is one.
  await readAndWrite(t, qemu, { cpu: "max,-cx16" });
});
