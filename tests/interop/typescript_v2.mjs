import { Client, StreamableHTTPClientTransport, UnauthorizedError } from '@modelcontextprotocol/client';
import { installedVersion, main } from './flow.mjs';

await main({
  name: 'TypeScript client v2',
  version: await installedVersion('@modelcontextprotocol/client'),
  Client,
  Transport: StreamableHTTPClientTransport,
  UnauthorizedError,
  // With the whole query the SDK checks `iss`.
  finishAuth: (transport, query) => transport.finishAuth(query),
  stepsUp: true,
});
