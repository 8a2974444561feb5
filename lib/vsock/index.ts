export { joinStreams, parseConnectRequest, readLine } from "./connect-request.js";
export { createVsockDevice, GUEST_CID, type VsockDevice, type VsockDeviceOptions } from "./device.js";
export type { AcceptConnection } from "./host.js";
export { VsockError, VsockStream } from "./stream.js";
export { acceptToUnix, serveUnixBridge, type UnixBridge } from "./unix-bridge.js";
