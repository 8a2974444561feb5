import type { Duplex } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import { createClient } from "../../lib/ttrpc/index.js";
import { messageOf, ShimError, StatusCode } from "../error.js";
import { AgentClient } from "./agent-client.js";

/** Where Kata's agent listens. */
export const AGENT_PORT = 1024;

/** Between attempts to reach an agent that does not listen yet. */
const RETRY_MS = 20;

export interface BootOptions {
  /** Connects to a vsock port of the guest. Fails while nobody listens there. */
  readonly connect: (port: number, signal: AbortSignal) => Promise<Duplex>;
  readonly timeLimitMs: number;
  /** Resolves with the reason if the guest can never answer, such as the end of QEMU. */
  readonly lost: Promise<Error>;
  /** Says what the guest's console shows, for the error. */
  readonly describeConsole: () => string;
}

/**
 * Waits until the agent in the guest answers.
 *
 * @throws ShimError DEADLINE_EXCEEDED with the end of the guest's console; the reason of {@link BootOptions.lost}
 */
export async function connectAgent(options: BootOptions): Promise<AgentClient> {
  const stopped = new AbortController();
  let isLate = false;
  const limit = setTimeout(() => {
    isLate = true;
    stopped.abort();
  }, options.timeLimitMs);
  try {
    return await Promise.race([
      untilAnswered(options, stopped.signal),
      options.lost.then((reason) => {
        throw reason;
      }),
    ]);
  } catch (error) {
    if (!isLate) throw error;
    throw new ShimError(
      StatusCode.DEADLINE_EXCEEDED,
      `the agent in the guest does not answer within ${options.timeLimitMs / 1000} s (${messageOf(error)}); ` +
        options.describeConsole(),
      { cause: error },
    );
  } finally {
    clearTimeout(limit);
    stopped.abort();
  }
}

async function untilAnswered({ connect }: BootOptions, signal: AbortSignal): Promise<AgentClient> {
  for (;;) {
    let agent: AgentClient | undefined;
    try {
      agent = new AgentClient(createClient(await connect(AGENT_PORT, signal)));
      await agent.check();
      return agent;
    } catch (error) {
      agent?.close();
      if (signal.aborted) throw error;
    }
    await delay(RETRY_MS, undefined, { signal });
  }
}
