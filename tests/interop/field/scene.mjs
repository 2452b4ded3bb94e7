// What the scenes share: an address, one MCP server with one tool, and the line that says the scene is ready.
import { createServer } from 'node:http';
import { Server as NetServer } from 'node:net';
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import { WebStandardStreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/webStandardStreamableHttp.js';

// Some packages listen on every address of the machine. Nobody outside is to reach a scene.
const { listen } = NetServer.prototype;
NetServer.prototype.listen = function listenHere(where, ...rest) {
  const isPort = typeof where === 'number' || typeof where === 'string';
  if (!isPort) return listen.call(this, { ...where, host: '127.0.0.1' }, ...rest);
  return listen.call(this, { port: where, host: '127.0.0.1' }, ...rest.filter((one) => typeof one === 'function'));
};

// The port given on the command line; whoever started the scene ends it by closing its standard input.
export const port = Number(process.argv[2]);
if (!port) throw new Error('which port?');
process.stdin.resume();
process.stdin.on('end', () => process.exit(0));

// Packages log to the standard output, where the one line of ours belongs.
console.log = console.info = console.debug = (...words) => console.error(...words);
export const ready = (url) => process.stdout.write(`ready ${url}\n`);

export async function freePort() {
  const server = createServer();
  await new Promise((resolve) => server.listen(0, resolve));
  const { port: free } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return free;
}

function greeter() {
  const server = new McpServer({ name: 'field', version: '1.0.0' });
  server.registerTool('greet', { description: 'Says hello' }, () => ({ content: [{ type: 'text', text: 'Hello' }] }));
  return server;
}

// A stateless MCP server for frameworks of Node's own kind ...
export async function answerNode(request, response) {
  const transport = new StreamableHTTPServerTransport({ sessionIdGenerator: undefined, enableJsonResponse: true });
  response.on('close', () => transport.close());
  await greeter().connect(transport);
  await transport.handleRequest(request, response, request.body);
}

// ... and for those of the web's.
export async function answerWeb(request) {
  const transport = new WebStandardStreamableHTTPServerTransport({ sessionIdGenerator: undefined, enableJsonResponse: true });
  await greeter().connect(transport);
  return transport.handleRequest(request);
}

// Serves a function from Request to Response, as runtimes of the web's kind do.
export async function serveWeb(origin, handle) {
  const server = createServer(async (incoming, outgoing) => {
    const chunks = [];
    for await (const chunk of incoming) chunks.push(chunk);
    const body = chunks.length > 0 ? Buffer.concat(chunks) : undefined;
    const headers = Object.entries(incoming.headers).flatMap(([name, value]) => [value].flat().map((one) => [name, one]));
    let answer;
    try {
      const request = new Request(new URL(incoming.url, origin), { method: incoming.method, headers, body });
      answer = await handle(request);
    } catch (error) {
      console.error(error);
      answer = new Response('Internal Server Error', { status: 500 });
    }
    outgoing.writeHead(answer.status, [...answer.headers].flat());
    outgoing.end(incoming.method === 'HEAD' ? undefined : Buffer.from(await answer.arrayBuffer()));
  });
  await new Promise((resolve) => server.listen(port, resolve));
}
