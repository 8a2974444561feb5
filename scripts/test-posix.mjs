#!/usr/bin/env node
// npm run test:posix [-- --mode NAME]: set-up, then test/posix/compare.ts, which boots many machines.
import { prepare } from "./prepare.mjs";
import { run } from "./testing.mjs";

const program = await prepare();
const status = await program?.main(["set-up", "--containerd=any", "--for-tests"]);
program?.giveBackLock();
const passed =
  status === 0 &&
  run(process.execPath, ["--import", "tsx", "test/posix/compare.ts", ...process.argv.slice(2)]);
process.exitCode = passed ? 0 : 1;
