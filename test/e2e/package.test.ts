import assert from "node:assert/strict";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, describe, it } from "node:test";
import { execute, Machine, project, toolchain } from "./machine.js";

/** The package as another machine gets it: packed, and installed with what it depends on from the registry. */
describe("the package", () => {
  let folder: string;
  let machine: Machine;
  let bin: string;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "kata-fs-package-"));
    // QEMU and the shim's user have to get at what lies below it.
    await mkdir(join(folder, "etc/containerd"), { recursive: true });
    machine = await Machine.start("1.7");
    bin = join(folder, "prefix/bin");
  });
  after(async () => {
    await machine?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  /** Runs a command without this repository in its environment. */
  const run = async (...command: readonly string[]) => {
    const outcome = await execute(command, undefined, {
      ...process.env,
      PATH: [dirname(process.execPath), "/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin"].join(":"),
    });
    assert.equal(outcome.status, 0, `${command.join(" ")}: ${outcome.stdout}${outcome.stderr}`);
    return outcome.stdout.toString();
  };

  it("is packed with the programs and without sources or tests", async () => {
    const said = await run("npm", "pack", "--json", "--silent", "--pack-destination", folder, project);
    // The build, which goes first, may say something, too.
    const [packed] = JSON.parse(said.slice(said.indexOf("[\n")));
    const files: readonly string[] = packed.files.map(({ path }: { path: string }) => path);
    for (const needed of [
      "dist/bin/containerd-shim-kata-fs-v2",
      "dist/bin/kata-fsd",
      "dist/bin/kata-fs",
      "dist/toml.cjs",
      "configs/config.yaml",
      "setup/shmem-preload/shmem-preload.c",
      "README.md",
      "LICENSE",
    ]) {
      assert(files.includes(needed), needed);
    }
    assert.deepEqual(
      files.filter((file) => /\.ts$|^(node_modules|test|proto)\//.test(file)),
      [],
    );
  });

  it("installs into a prefix", async () => {
    const [file = ""] = readdirSync(folder).filter((name) => name.endsWith(".tgz"));
    await run(
      "npm",
      "install",
      "--global",
      "--silent",
      "--prefix",
      join(folder, "prefix"),
      join(folder, file),
    );
    assert.match(await run(join(bin, "containerd-shim-kata-fs-v2"), "-v"), /io\.containerd\.kata-fs\.v2/);
    assert.match(await run(join(bin, "kata-fsd"), "--version"), /\d+\.\d+\.\d+/);
    assert.match(await run(join(bin, "kata-fs"), "config", "defaults"), /^hypervisor:$/m);
  });

  it("becomes a runtime of containerd, runs a container, and goes without a trace", async () => {
    const containerdConfig = join(folder, "etc/containerd/config.toml");
    const config = join(folder, "etc/kata-fs/config.yaml");
    await writeFile(containerdConfig, 'version = 2\n\n[debug]\n  level = "info"\n');
    const present = listing(folder);
    const { containerd } = await toolchain();
    const kataFs = join(bin, "kata-fs");
    const words = [
      ...["--config", config, "--bin", join(folder, "usr/local/bin")],
      ...["--containerd-config", containerdConfig, "--containerd", containerd["1.7"]?.daemon ?? ""],
    ];
    assert.match(await run(kataFs, "install", "--dry-run", ...words), /add tables to +.*config\.toml/);
    assert.deepEqual(listing(folder), present, "a dry run changes nothing");

    await run(kataFs, "install", ...words);
    assert.match(readFileSync(containerdConfig, "utf8"), /containerd\.runtimes\.kata-fs\]/);
    const { status, stdout, stderr } = await machine.run(
      "packaged",
      ["/bin/sh", "-c", "uname -r; echo done"],
      {
        runtime: join(folder, "usr/local/bin/containerd-shim-kata-fs-v2"),
        flags: ["--runtime-config-path", config],
      },
    );
    assert.equal(status, 0, stderr);
    assert.match(stdout.toString(), /cloud-amd64\ndone\n$/);

    await run(kataFs, "uninstall", "--force", "--config", config);
    assert.deepEqual(listing(folder), present);
  });
});

/** Paths, kinds, and the contents of files that are not the package's own. */
function listing(folder: string): readonly string[] {
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((name) => !name.startsWith("prefix/"))
    .map((name) => {
      const path = join(folder, name);
      const isText = name.startsWith("etc/") && statSync(path).isFile();
      return `${name} ${isText ? readFileSync(path, "utf8") : ""}`;
    })
    .sort();
}
