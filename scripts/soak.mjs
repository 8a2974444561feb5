#!/usr/bin/env node
// npm run soak [-- PREFIX …]: what takes too long for `npm test`, files named *.soak.ts below test/; those whose path from there starts
// with one of the prefixes.
import { join, resolve } from "node:path";
import { prepare } from "./prepare.mjs";
import { runTests, soakTests } from "./testing.mjs";

const { KATA_FS_DIR = "/opt/kata-fs" } = process.env;
const directory = resolve(KATA_FS_DIR);
const program = await prepare();
const status = await program?.main(["set-up", "--containerd=all", "--for-tests"]);
program?.giveBackLock();
const env = { KATA_FS_DIR: directory, KATA_FS_TOOLCHAIN: join(directory, "toolchain.json") };
const passed = status === 0 && runTests(soakTests(process.argv.slice(2)), { concurrency: 1, env });
process.exitCode = passed ? 0 : 1;
