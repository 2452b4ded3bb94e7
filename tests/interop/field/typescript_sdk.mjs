// The protected example that comes with the TypeScript SDK, unchanged: requireBearerAuth and mcpAuthMetadataRouter in front of its
// streamable HTTP server, and the SDK's demo authorization server, which approves everybody, on a port beside it.
import { freePort, port, ready } from './scene.mjs';

process.env.MCP_PORT = String(port);
process.env.MCP_AUTH_PORT = String(await freePort());
process.argv.push('--oauth', ...(process.argv.includes('strict') ? ['--oauth-strict'] : []));
await import('@modelcontextprotocol/sdk/examples/server/simpleStreamableHttp.js');

const url = `http://localhost:${port}/mcp`;
for (;;) {
  const answer = await fetch(url, { method: 'POST' }).catch(() => undefined);
  if (answer) break;
  await new Promise((resolve) => setTimeout(resolve, 50));
}
ready(url);
