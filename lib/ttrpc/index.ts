export { type CallOptions, createClient, type TtrpcClient } from "./client.js";
export { type StatusDetail, TtrpcError } from "./error.js";
export { MAX_PAYLOAD_BYTES } from "./frame.js";
export type { CallContext, ErrorObserver, ServiceTable, UnaryHandler } from "./handler.js";
export { createServer, type ServerOptions, type TtrpcServer } from "./server.js";
export { StatusCode, statusName } from "./status.js";
export { type Codec, callUnary, unary } from "./unary.js";
