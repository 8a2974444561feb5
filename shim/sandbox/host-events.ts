import { createConnection, type Socket } from "node:net";
import { createInterface } from "node:readline";
import { StatusCode, TtrpcError } from "../../lib/ttrpc/index.js";
import { agent } from "../../proto/index.js";
import { messageOf } from "../error.js";
import type { Logger } from "../log/logger.js";
import { GuestPaths, Tags } from "./layout.js";

/** Most events that are told in one call, and that wait to be. */
const CALL_EVENTS_MAX = 128;
const WAITING_EVENTS_MAX = 4096;

type HostEvent = agent.HostEvent.$Properties;
const { Kind } = agent.HostEvent;

const KINDS: Readonly<Record<string, agent.HostEvent.Kind>> = {
  attrib: Kind.ATTRIB,
  modify: Kind.MODIFY,
  "close-write": Kind.CLOSE_WRITE,
  create: Kind.CREATE,
  remove: Kind.REMOVE,
  rename: Kind.RENAME,
};

/** What of the agent is needed here. */
export interface Replayer {
  replay(request: agent.ReplayRequest.$Properties): Promise<agent.ReplayResponse.$Properties>;
}

/**
 * Carries what the host changes in volumes from kata-fsd to the agent, which wakes the programs in the guest that wait for it. One call is on its
 * way at a time, so that a host that changes much is told of in few calls.
 *
 * An agent that is not ours cannot do it: then nothing is followed, and programs see changes when they look.
 */
export class HostEvents {
  #waiting: HostEvent[] = [];
  #isTelling = false;
  #isClosed = false;
  #socket: Socket;

  private constructor(
    private readonly path: string,
    private readonly replayer: Replayer,
    private readonly logger: Logger,
  ) {
    this.#socket = this.#connect();
  }

  /** @param path kata-fsd's socket for events */
  static follow(path: string, replayer: Replayer, logger: Logger): HostEvents {
    return new HostEvents(path, replayer, logger);
  }

  /** Ends following. What was not told is dropped. */
  close(): void {
    this.#isClosed = true;
    this.#waiting = [];
    this.#socket.destroy();
  }

  #connect(): Socket {
    const socket = createConnection(this.path);
    socket.on("error", (error) =>
      this.logger.warn("programs in the guest are not woken by changes of the host", {
        error: messageOf(error),
      }),
    );
    // A worker of kata-fsd has ended, and its socket is listened on for the next one. Nobody does when kata-fsd has ended.
    socket.once("close", (hadError) => {
      if (!this.#isClosed && !hadError) this.#socket = this.#connect();
    });
    const lines = createInterface({ input: socket, crlfDelay: 0 });
    // Newer versions of Node.js pass on the socket's errors, which have been told.
    lines.on("error", () => {});
    lines.on("line", (line) => this.#take(line));
    return socket;
  }

  #take(line: string): void {
    const event = parseLine(line);
    if (event === undefined) {
      this.logger.debug(`kata-fsd's events: ${line}`);
      return;
    }
    if (this.#waiting.length < WAITING_EVENTS_MAX) this.#waiting.push(event);
    if (!this.#isTelling) void this.#tell();
  }

  async #tell(): Promise<void> {
    this.#isTelling = true;
    try {
      while (this.#waiting.length > 0) {
        const events = this.#waiting.splice(0, CALL_EVENTS_MAX);
        const { replayed, unwatched, failed } = await this.replayer.replay({
          share: GuestPaths.shared,
          events,
        });
        this.logger.debug("events of the host", { replayed, unwatched, failed });
      }
    } catch (error) {
      this.close();
      if (error instanceof TtrpcError && error.code === StatusCode.UNIMPLEMENTED) {
        this.logger.info("the agent does not wake programs that wait for changes of the host");
      } else {
        this.logger.warn("events of the host are not told any more", { error: messageOf(error) });
      }
    } finally {
      this.#isTelling = false;
    }
  }
}

/** One line of kata-fsd's events: see fsd/events/host-event.ts. @returns undefined for anything but an event of the share */
export function parseLine(line: string): HostEvent | undefined {
  let parsed: unknown;
  try {
    parsed = JSON.parse(line);
  } catch {
    // The caller logs the line.
    return undefined;
  }
  if (typeof parsed !== "object" || parsed === null) return undefined;
  const fields = new Map<string, unknown>(Object.entries(parsed));
  const text = (key: string) => {
    const value = fields.get(key);
    return typeof value === "string" ? value : undefined;
  };
  const kind = KINDS[text("kind") ?? ""];
  const [directory, node, name, oldName] = ["directory", "node", "name", "oldName"].map(text);
  const type = fields.get("type");
  if (text("device") !== Tags.shared || kind === undefined || typeof type !== "number") return undefined;
  if (directory === undefined || node === undefined || name === undefined || oldName === undefined) return;
  const bytes = (word: string) => Buffer.from(word, "latin1");
  const kept = fields.get("isKept") === true;
  return { kind, directory: bytes(directory), node, name: bytes(name), old_name: bytes(oldName), type, kept };
}
