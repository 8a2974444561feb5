import { runShim } from "./run-shim.js";

// Whatever a failed sandbox may have left open in this process must not keep it: what it owned on the host is gone by now.
void runShim(process.argv.slice(2), () => import("./late.js")).then((status) => process.exit(status));
