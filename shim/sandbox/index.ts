export { cleanUpSandbox } from "./clean-up.js";
export { createSandboxFactory } from "./create-sandbox.js";
export { runLastHooks } from "./hooks.js";
