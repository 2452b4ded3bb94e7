import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { UnauthorizedError } from '@modelcontextprotocol/sdk/client/auth.js';
import { installedVersion, main } from './flow.mjs';

await main({
  name: 'TypeScript SDK v1',
  version: await installedVersion('@modelcontextprotocol/sdk'),
  Client,
  Transport: StreamableHTTPClientTransport,
  UnauthorizedError,
  finishAuth: (transport, query) => transport.finishAuth(query.get('code')),
  stepsUp: false,
});
