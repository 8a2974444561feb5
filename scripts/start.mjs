#!/usr/bin/env node
// npm start [-- [-it] COMMAND [ARGUMENT …]]: set-up, then a container in a VM. See setup/main.ts.
import { build, bundle } from "./build.mjs";
import { takeLock } from "./exclusive.mjs";

try {
  const { KATA_FS_DIR = "/opt/kata-fs" } = process.env;
  await takeLock(KATA_FS_DIR);
  await build();
} catch (error) {
  console.error(`kata-fs: ${error instanceof Error ? error.message : error}`);
  process.exit(1);
}
const { main } = await import(bundle("kata-fs.cjs"));
process.exitCode = await main(["start", ...process.argv.slice(2)]);
