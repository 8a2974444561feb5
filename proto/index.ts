/**
 * Messages of the protocols that kata-fs speaks, generated from the .proto files beside this one. Fields have the names of
 * those files. A field that was not sent reads as its default through the message's class.
 */
import "./numbers.js";

export { agent } from "./gen/agent.js";
export { cgroups } from "./gen/cgroups.js";
export { containerd } from "./gen/containerd.js";
export { containers } from "./gen/containers.js";
export { cri } from "./gen/cri.js";
export { management } from "./gen/management.js";
