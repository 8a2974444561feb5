import { agent } from "../../proto/index.js";
import { AGENT_VERSION } from "../version.js";
import { type MethodTable, method } from "./method.js";

/** Of the protocol of services grpc.AgentService and grpc.Health, as the official agent reports it. */
const GRPC_VERSION = "0.0.1";

/** Service grpc.Health. Whoever can answer is well: the agent listens only when it is ready. */
export function healthMethods(): MethodTable {
  return {
    Check: method(agent.CheckRequest, agent.HealthCheckResponse, () => ({
      status: agent.HealthCheckResponse.ServingStatus.SERVING,
    })),
    Version: method(agent.CheckRequest, agent.VersionCheckResponse, () => ({
      grpc_version: GRPC_VERSION,
      agent_version: AGENT_VERSION,
    })),
  };
}
