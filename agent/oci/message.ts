import type { agent } from "../../proto/index.js";

/** The messages of oci.proto, every field of which may be absent. */
export type Spec = agent.Spec.$Properties;
export type Process = agent.Process.$Properties;
export type Linux = agent.Linux.$Properties;
export type Resources = agent.LinuxResources.$Properties;
export type Capabilities = agent.LinuxCapabilities.$Properties;
export type IdMapping = agent.LinuxIDMapping.$Properties;
export type Device = agent.LinuxDevice.$Properties;
export type DeviceRule = agent.LinuxDeviceCgroup.$Properties;
export type Seccomp = agent.LinuxSeccomp.$Properties;
