/** rtnetlink(7) and traffic control of Linux: messages as pure functions, and a socket of one network namespace. */
export * from "./ip-address.js";
export { NetlinkFormatError, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE } from "./message.js";
export * from "./route.js";
export { RouteSocket } from "./route-socket.js";
export { encodeIngress, encodeRedirect } from "./traffic-control.js";
