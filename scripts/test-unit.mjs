#!/usr/bin/env node
// npm run test:unit [-- PREFIX …]: the unit tests whose path starts with one of the prefixes, all of them without any.
import { availableParallelism } from "node:os";
import { completeSources } from "./build.mjs";
import { runTests, unitTests } from "./testing.mjs";

await completeSources();
process.exitCode = runTests(unitTests(process.argv.slice(2)), { concurrency: availableParallelism() })
  ? 0
  : 1;
