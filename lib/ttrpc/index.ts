export { type CallOptions, createClient, type TtrpcClient } from "./client.js";
export { type StatusDetail, TtrpcError } from "./error.js";
export { MAX_PAYLOAD_BYTES } from "./frame.js";
export {
  type CallContext,
  createServer,
  type ServerOptions,
  type ServiceTable,
  type TtrpcServer,
  type UnaryHandler,
} from "./server.js";
export { StatusCode, statusName } from "./status.js";
export { type Codec, callUnary, unary } from "./unary.js";
