#!/usr/bin/env node
// npm run bench [-- [front-end | writes] OPTIONS]: set-up, then bench/main.ts.
import { prepare } from "./prepare.mjs";
import { run } from "./testing.mjs";

const program = await prepare();
const status = await program?.main(["set-up", "--containerd=all", "--for-tests"]);
program?.giveBackLock();
process.exitCode =
  status === 0 && run(process.execPath, ["--import", "tsx", "bench/main.ts", ...process.argv.slice(2)])
    ? 0
    : 1;
