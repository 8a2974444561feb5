import { adoptListeningUnix, listenUnix } from "../lib/sys/unix-socket.js";
import type { SocketOptions } from "./options/device-options.js";

/** A listening socket for a device's front end. @throws SysError, RangeError */
export function listenForFrontEnd(socket: SocketOptions): number {
  return "fd" in socket ? adoptListeningUnix(socket.fd) : listenUnix(socket.path);
}
