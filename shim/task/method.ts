import { type CallContext, type Codec, type UnaryHandler, unary } from "../../lib/ttrpc/index.js";
import { toStatus } from "../error.js";

/** {@link unary} with the shim's errors as statuses. */
export function method<I, O>(
  input: Pick<Codec<never, I>, "decode">,
  output: Pick<Codec<O>, "encode">,
  handler: (request: I, context: CallContext) => Promise<O>,
): UnaryHandler {
  return unary(input, output, async (request, context) => {
    try {
      return await handler(request, context);
    } catch (error) {
      throw toStatus(error);
    }
  });
}
