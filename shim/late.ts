/**
 * Everything of the shim that containerd need not wait for when it starts one. It is a bundle of its own, loaded when
 * containerd has its answer: reading and compiling it takes as long as Node's own start.
 */
export { deleteTask } from "./delete.js";
export { runtimeInfo, versionText } from "./info.js";
export { cleanUpSandbox, createSandboxFactory, runLastHooks } from "./sandbox/index.js";
export { serve } from "./serve.js";
export { setAddressAnsweredMs } from "./start-clock.js";
