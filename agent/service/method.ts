import { StatusCode, TtrpcError, type UnaryHandler, unary } from "../../lib/ttrpc/index.js";
import { agent } from "../../proto/index.js";
import { AgentError } from "../error.js";
import { log } from "../log.js";

/** Handlers of a service by the name of the method. */
export type MethodTable = Readonly<Record<string, UnaryHandler>>;

type Handler<I, O> = (request: I, signal: AbortSignal) => O | Promise<O>;

/** A method with a reply. What it throws becomes the status that the caller sees. */
export function method<I, O>(
  input: { decode(bytes: Uint8Array): I },
  output: { encode(message: O): { finish(): Uint8Array } },
  handler: Handler<I, O>,
): UnaryHandler {
  return unary(input, output, async (request, { method: name, signal }) => {
    const started = performance.now();
    try {
      const reply = await handler(request, signal);
      log("debug", "call answered", { method: name, tookMs: Math.round(performance.now() - started) });
      return reply;
    } catch (error) {
      throw toTtrpcError(error);
    }
  });
}

/** A method that answers with google.protobuf.Empty. */
export function emptyMethod<I>(
  input: { decode(bytes: Uint8Array): I },
  handler: Handler<I, void>,
): UnaryHandler {
  return method(input, agent.Empty, async (request, signal) => {
    await handler(request, signal);
    return {};
  });
}

function toTtrpcError(error: unknown): TtrpcError {
  if (error instanceof TtrpcError) return error;
  const { code, message } = AgentError.from(error);
  return new TtrpcError(StatusCode[code], message, [], { cause: error });
}
