import { agent } from "../../proto/index.js";
import type { Sandbox } from "../sandbox.js";
import { emptyMethod, type MethodTable, method } from "./method.js";

/** A read that names no length gets this much, and none gets more than fits a message with room to spare. */
const READ_DEFAULT_BYTES = 32 * 1024;
const READ_MAX_BYTES = 1024 * 1024;

/** The methods of grpc.AgentService for the standard streams of processes. */
export function streamMethods(sandbox: Sandbox): MethodTable {
  const process = (request: { container_id: string; exec_id: string }) =>
    sandbox.container(request.container_id).process(request.exec_id);
  return {
    WriteStdin: method(agent.WriteStreamRequest, agent.WriteStreamResponse, async (request) => {
      // Nothing to write is how newer runtimes say that nothing follows.
      if (request.data.length === 0) process(request).closeStdin();
      else await process(request).writeStdin(request.data);
      return { len: request.data.length };
    }),
    ReadStdout: method(agent.ReadStreamRequest, agent.ReadStreamResponse, async (request) => ({
      data: await process(request).readStdout(readLength(request.len)),
    })),
    ReadStderr: method(agent.ReadStreamRequest, agent.ReadStreamResponse, async (request) => ({
      data: await process(request).readStderr(readLength(request.len)),
    })),
    CloseStdin: emptyMethod(agent.CloseStdinRequest, (request) => process(request).closeStdin()),
    TtyWinResize: emptyMethod(agent.TtyWinResizeRequest, (request) =>
      process(request).resize(request.row, request.column),
    ),
  };
}

function readLength(wantedBytes: number): number {
  return Math.min(wantedBytes || READ_DEFAULT_BYTES, READ_MAX_BYTES);
}
