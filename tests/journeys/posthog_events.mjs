// Sends events with the real posthog-node: `node posthog_events.mjs HOST KEY`, a JSON list of calls on stdin.
// Prints one line of JSON at the end: the errors that the SDK reported.
import { createRequire } from "node:module";
import { setTimeout as pause } from "node:timers/promises";

const require = createRequire(process.env.POSTHOG_NODE_FOLDER + "/");
const { PostHog } = require("posthog-node");

const [host, key] = process.argv.slice(2);
const chunks = [];
for await (const chunk of process.stdin) chunks.push(chunk);
const { calls, pauseMs, flag } = JSON.parse(Buffer.concat(chunks).toString());

const errors = [];
const client = new PostHog(key, { host });
client.on("error", (error) => errors.push(String(error)));

for (const { method, message } of calls) {
  if (message.timestamp) message.timestamp = new Date(message.timestamp);
  client[method](message);
  if (pauseMs) await pause(pauseMs);
}
const flagValue = flag ? await client.isFeatureEnabled(flag, "u-1") : null;
await client.shutdown(60_000);
console.log(JSON.stringify({ errors, flagValue: flagValue ?? null }));
