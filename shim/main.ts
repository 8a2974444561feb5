import { runShim } from "./run-shim.js";

void runShim(process.argv.slice(2), () => import("./sandbox/index.js")).then((status) => {
  process.exitCode = status;
});
