#!/usr/bin/env node
// npm run soak [-- PREFIX …]: what takes too long for `npm test`, files named *.soak.ts below test/; those whose path from there starts
// with one of the prefixes.
import { testEnvironment } from "./directory.mjs";
import { prepare } from "./prepare.mjs";
import { runTests, soakTests } from "./testing.mjs";

const program = await prepare();
const status = await program?.main(["set-up", "--containerd=all", "--for-tests"]);
program?.giveBackLock();
const passed =
  status === 0 && runTests(soakTests(process.argv.slice(2)), { concurrency: 1, env: testEnvironment });
process.exitCode = passed ? 0 : 1;
