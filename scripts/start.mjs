#!/usr/bin/env node
// npm start [-- [-it] COMMAND [ARGUMENT …]]: set-up, then a container in a VM. See setup/main.ts.
import { prepare } from "./prepare.mjs";

const program = await prepare();
process.exitCode = program === undefined ? 1 : await program.main(["start", ...process.argv.slice(2)]);
