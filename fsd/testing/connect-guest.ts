import { PollSet } from "../../lib/sys/poll.js";
import { connectUnix } from "../../lib/sys/unix-socket.js";
import { TestFrontEnd } from "../../lib/vhost-user/testing/test-front-end.js";
import { frontEndServer } from "./front-end-server.js";
import { TestGuest } from "./test-guest.js";

/** A front end with a driver that has sent FUSE_INIT, connected to a daemon in another process. */
export function connectGuest(socket: string, queueCount = 2): { frontEnd: TestFrontEnd; guest: TestGuest } {
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
  const guest = new TestGuest(frontEndServer(frontEnd));
  guest.init();
  return { frontEnd, guest };
}
