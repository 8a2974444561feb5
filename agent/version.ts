/** Version of the agent, which is that of the package it is built with. */
export const AGENT_VERSION = "0.1.0";
