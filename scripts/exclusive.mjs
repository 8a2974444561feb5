import { createHash } from "node:crypto";
import { once } from "node:events";
import { createConnection, createServer } from "node:net";

const ANSWER_LIMIT_MS = 2000;

/**
 * Takes the lock of the private directory for this process. It is an abstract UNIX socket: the kernel frees it with the
 * process however that ends, and it leaves nothing in the file system. Whoever connects is told the holder's pid.
 *
 * @param {string} directory
 * @returns {Promise<() => void>} gives the lock back
 */
export async function takeLock(directory) {
  const name = `\0kata-fs-${createHash("sha256").update(directory).digest("hex").slice(0, 32)}`;
  const server = createServer((socket) => {
    socket.on("error", () => {}); // The asker has gone: nothing is owed to it.
    socket.end(String(process.pid));
  });
  server.listen({ path: name });
  try {
    await once(server, "listening");
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "EADDRINUSE")) throw error;
    throw new Error(
      `process ${await holderOf(name)} is at work in ${directory}; needed: its end, or another directory in KATA_FS_DIR`,
    );
  }
  server.unref();
  return () => server.close();
}

/**
 * @param {string} name
 * @returns {Promise<string>}
 */
async function holderOf(name) {
  const socket = createConnection({ path: name });
  socket.setEncoding("utf8").setTimeout(ANSWER_LIMIT_MS, () => socket.destroy());
  let answer = "";
  try {
    for await (const chunk of socket) answer += chunk;
  } catch {
    // It has just ended, or is stopped; who it was does not matter then.
  }
  return answer || "another";
}
