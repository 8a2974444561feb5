import { PollSet } from "../../lib/sys/poll.js";
import { connectUnix } from "../../lib/sys/unix-socket.js";
import { TestFrontEnd } from "../../lib/vhost-user/testing/test-front-end.js";
import { frontEndServer } from "./front-end-server.js";
import { TestGuest } from "./test-guest.js";

/**
 * A front end with a driver that has sent FUSE_INIT, connected to a daemon in another process.
 * @param whileWaiting is called until a reply is there
 */
export function connectGuest(
  socket: string,
  queueCount = 2,
  whileWaiting: () => void = () => {},
): { frontEnd: TestFrontEnd; guest: TestGuest } {
  const socketFd = connectUnix(socket);
  const polled = new PollSet(1);
  const waitForAnswer = () => {
    polled.clear();
    polled.add(socketFd);
    polled.wait(5);
  };
  const frontEnd = new TestFrontEnd(socketFd, waitForAnswer, {
    queueCount,
    queueSize: 64,
    memoryBytes: 1 << 20,
  });
  frontEnd.start();
  const guest = new TestGuest(frontEndServer(frontEnd, whileWaiting));
  guest.init();
  return { frontEnd, guest };
}
