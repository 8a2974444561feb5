import type { CallOptions, TtrpcClient } from "./client.js";
import { TtrpcError } from "./error.js";
import type { CallContext, UnaryHandler } from "./handler.js";
import { StatusCode } from "./status.js";

/** Reads and writes one type of message; the static classes that protobufjs generates are codecs. */
export interface Codec<I, O = I> {
  encode(message: I): { finish(): Uint8Array };
  decode(bytes: Uint8Array): O;
}

/** A handler of messages as a handler of bytes. A request that cannot be decoded is INVALID_ARGUMENT. */
export function unary<I, O>(
  input: Pick<Codec<never, I>, "decode">,
  output: Pick<Codec<O>, "encode">,
  handler: (request: I, context: CallContext) => Promise<O>,
): UnaryHandler {
  return async (payload, context) => {
    let request: I;
    try {
      request = input.decode(payload);
    } catch (cause) {
      const text = `${context.service}/${context.method}: the request cannot be decoded`;
      throw new TtrpcError(StatusCode.INVALID_ARGUMENT, text, [], { cause });
    }
    return output.encode(await handler(request, context)).finish();
  };
}

/**
 * Calls a method with messages instead of bytes.
 * @throws TtrpcError as {@link TtrpcClient.call}; INTERNAL for a reply that cannot be decoded
 */
export async function callUnary<I, O>(
  client: TtrpcClient,
  service: string,
  method: string,
  input: Pick<Codec<I, unknown>, "encode">,
  output: Pick<Codec<never, O>, "decode">,
  request: I,
  options?: CallOptions,
): Promise<O> {
  const reply = await client.call(service, method, input.encode(request).finish(), options);
  try {
    return output.decode(reply);
  } catch (cause) {
    throw new TtrpcError(StatusCode.INTERNAL, `${service}/${method}: the reply cannot be decoded`, [], {
      cause,
    });
  }
}
