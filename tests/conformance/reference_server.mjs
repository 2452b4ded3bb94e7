// The MCP server behind the conformance run: offers what the suite's server scenarios of 2025-11-25 ask for, and nothing
// else. The published suite brings no server of its own. `reference_server.mjs PORT`, on the TypeScript SDK.
import { randomUUID } from 'node:crypto';
import http from 'node:http';
import { Server } from '@modelcontextprotocol/sdk/server/index.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import * as spec from '@modelcontextprotocol/sdk/types.js';
import { content, described, fromTemplate, jsonSchemaTool, pause, prompts, resources, template, text } from './content.mjs';

const BODY_BYTES_MAX = 1 << 20;
const titled = (...pairs) => pairs.map(([value, title]) => ({ const: value, title }));

// Tool name -> description, the input it takes, and what it does with (arguments, the call).
const tools = {
  ...Object.fromEntries(Object.entries(content).map(([name, [words, make]]) => [name, [words, {}, () => make().content]])),
  test_tool_with_logging: [
    'Logs while it runs',
    {},
    async (_, call) => {
      for (const data of ['Tool execution started', 'Tool processing data', 'Tool execution completed']) {
        await call.sendNotification({ method: 'notifications/message', params: { level: 'info', data } });
        await pause(50);
      }
      return [text('Tool with logging executed successfully')];
    },
  ],
  test_tool_with_progress: [
    'Reports progress while it runs',
    {},
    async (_, call) => {
      const progressToken = call._meta?.progressToken ?? 0;
      for (const progress of [0, 50, 100]) {
        await call.sendNotification({ method: 'notifications/progress', params: { progressToken, progress, total: 100 } });
        await pause(50);
      }
      return [text(String(progressToken))];
    },
  ],
  test_error_handling: [
    'Fails',
    {},
    () => {
      throw new Error('This tool intentionally returns an error for testing');
    },
  ],
  test_reconnection: [
    'Closes its own stream and answers on the next one',
    {},
    async (_, call) => {
      call.closeSSEStream?.();
      await pause(100);
      return [text('Reconnection test completed successfully.')];
    },
  ],
  test_sampling: [
    'Asks the client for a completion',
    { prompt: described('string', 'What to ask the model') },
    async ({ prompt }, call) => {
      const params = { messages: [{ role: 'user', content: text(prompt) }], maxTokens: 100 };
      const answer = await call.sendRequest({ method: 'sampling/createMessage', params }, spec.CreateMessageResultSchema);
      return [text(`LLM response: ${answer.content?.text ?? ''}`)];
    },
  ],
  test_elicitation: [
    'Asks the person something',
    { message: described('string', 'What to show the person') },
    async ({ message }, call) => {
      const answer = await elicit(call, message, { response: described('string', "User's response") }, ['response']);
      return [text(`User response: ${answer}`)];
    },
  ],
  test_elicitation_sep1034_defaults: [
    'Asks with a default in every field',
    {},
    async (_, call) => {
      const fields = {
        name: described('string', 'User name', { default: 'John Doe' }),
        age: described('integer', 'User age', { default: 30 }),
        score: described('number', 'User score', { default: 95.5 }),
        status: described('string', 'User status', { enum: ['active', 'inactive', 'pending'], default: 'active' }),
        verified: described('boolean', 'Verification status', { default: true }),
      };
      return [text(`Elicitation completed: ${await elicit(call, 'Please review the defaults', fields)}`)];
    },
  ],
  test_elicitation_sep1330_enums: [
    'Asks with every kind of choice',
    {},
    async (_, call) => {
      const several = { type: 'array', minItems: 1, maxItems: 3 };
      const fields = {
        untitledSingle: described('string', 'One', { enum: ['option1', 'option2', 'option3'] }),
        titledSingle: described('string', 'One, titled', {
          oneOf: titled(['value1', 'First Option'], ['value2', 'Second Option'], ['value3', 'Third Option']),
        }),
        legacyEnum: described('string', 'One, the old way', {
          enum: ['opt1', 'opt2', 'opt3'],
          enumNames: ['Option One', 'Option Two', 'Option Three'],
        }),
        untitledMulti: { ...several, description: 'Several', items: { type: 'string', enum: ['option1', 'option2', 'option3'] } },
        titledMulti: {
          ...several,
          description: 'Several, titled',
          items: { anyOf: titled(['value1', 'First Choice'], ['value2', 'Second Choice'], ['value3', 'Third Choice']) },
        },
      };
      return [text(`Elicitation completed: ${await elicit(call, 'Please choose', fields)}`)];
    },
  ],
};

async function elicit(call, message, properties, required = []) {
  const params = { mode: 'form', message, requestedSchema: { type: 'object', properties, required } };
  const answer = await call.sendRequest({ method: 'elicitation/create', params }, spec.ElicitResultSchema);
  return `action=${answer.action}, content=${JSON.stringify(answer.content ?? {})}`;
}

function makeServer() {
  const capabilities = {
    tools: { listChanged: true },
    resources: { subscribe: true, listChanged: true },
    prompts: { listChanged: true },
    logging: {},
    completions: {},
  };
  const server = new Server({ name: 'conformance-reference', version: '1.0.0' }, { capabilities });
  const on = (schema, handler) => server.setRequestHandler(schema, handler);

  on(spec.ListToolsRequestSchema, () => {
    const listed = Object.entries(tools).map(([name, [description, properties]]) => ({
      name,
      description,
      inputSchema: { type: 'object', properties, required: Object.keys(properties) },
    }));
    return { tools: [...listed, jsonSchemaTool] };
  });
  on(spec.CallToolRequestSchema, async ({ params }, call) => {
    const tool = tools[params.name];
    if (!tool) throw new spec.McpError(spec.ErrorCode.InvalidParams, `Unknown tool: ${params.name}`);
    try {
      return { content: await tool[2](params.arguments ?? {}, call) };
    } catch (error) {
      return { content: [text(error.message)], isError: true };
    }
  });
  on(spec.ListResourcesRequestSchema, () => ({
    resources: Object.entries(resources).map(([uri, [name, mimeType]]) => ({ uri, name, mimeType })),
  }));
  on(spec.ListResourceTemplatesRequestSchema, () => ({
    resourceTemplates: [template],
  }));
  on(spec.ReadResourceRequestSchema, ({ params: { uri } }) => {
    if (uri in resources) {
      const [, mimeType, held] = resources[uri];
      return { contents: [{ uri, mimeType, ...held }] };
    }
    const made = fromTemplate(uri);
    if (!made) throw new spec.McpError(-32002, `Resource not found: ${uri}`, { uri });
    return { contents: [made] };
  });
  on(spec.SubscribeRequestSchema, () => ({}));
  on(spec.UnsubscribeRequestSchema, () => ({}));
  on(spec.ListPromptsRequestSchema, () => ({
    prompts: Object.entries(prompts).map(([name, [names]]) => ({
      name,
      description: `${name} for testing`,
      arguments: names.map((argument) => ({ name: argument, required: true })),
    })),
  }));
  on(spec.GetPromptRequestSchema, ({ params }) => {
    const prompt = prompts[params.name];
    if (!prompt) throw new spec.McpError(spec.ErrorCode.InvalidParams, `Unknown prompt: ${params.name}`);
    return { messages: prompt[1](params.arguments ?? {}).map((held) => ({ role: 'user', content: held })) };
  });
  on(spec.SetLevelRequestSchema, () => ({}));
  on(spec.CompleteRequestSchema, () => ({ completion: { values: [], total: 0, hasMore: false } }));
  return server;
}

// What a stream has said, so that a client which lost it can ask for the rest.
function makeEventStore() {
  const events = [];
  return {
    async storeEvent(streamId, message) {
      events.push({ streamId, message });
      return `${streamId}_${events.length - 1}`;
    },
    async replayEventsAfter(lastEventId, { send }) {
      const at = Number(lastEventId.slice(lastEventId.lastIndexOf('_') + 1));
      const streamId = lastEventId.slice(0, lastEventId.lastIndexOf('_'));
      for (let next = at + 1; next < events.length; next += 1) {
        // An empty message only opened the stream.
        if (events[next].streamId === streamId && Object.keys(events[next].message).length) {
          await send(`${streamId}_${next}`, events[next].message);
        }
      }
      return streamId;
    },
  };
}

const port = Number(process.argv[2] ?? 0);
const sessions = new Map();

async function readBody(request) {
  const chunks = [];
  let size = 0;
  for await (const chunk of request) {
    size += chunk.length;
    if (size > BODY_BYTES_MAX) throw new Error('body too large');
    chunks.push(chunk);
  }
  return chunks.length ? JSON.parse(Buffer.concat(chunks).toString()) : undefined;
}

function refuse(response, status, message) {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify({ jsonrpc: '2.0', id: null, error: { code: -32000, message } }));
}

async function answer(request, response) {
  const here = request.socket.localPort;
  const known = [`localhost:${here}`, `127.0.0.1:${here}`, `[::1]:${here}`];
  const origin = request.headers.origin;
  if (!known.includes(request.headers.host) || (origin && !known.includes(new URL(origin).host))) {
    return refuse(response, 403, 'unknown Host or Origin');
  }
  if (new URL(request.url, 'http://localhost').pathname !== '/mcp') return refuse(response, 404, 'no such address');
  const body = request.method === 'POST' ? await readBody(request) : undefined;
  const id = request.headers['mcp-session-id'];
  let transport = id && sessions.get(id);
  if (!transport) {
    if (id) return refuse(response, 404, 'no such session');
    if (body?.method !== 'initialize') return refuse(response, 400, 'a session starts with initialize');
    transport = new StreamableHTTPServerTransport({
      sessionIdGenerator: randomUUID,
      eventStore: makeEventStore(),
      retryInterval: 5000,
      onsessioninitialized: (opened) => sessions.set(opened, transport),
    });
    transport.onclose = () => sessions.delete(transport.sessionId);
    await makeServer().connect(transport);
  }
  return transport.handleRequest(request, response, body);
}

const listener = http.createServer((request, response) => {
  answer(request, response).catch((error) => {
    if (response.headersSent) response.destroy();
    else refuse(response, 400, error.message);
  });
});
listener.listen(port, '127.0.0.1', () => console.log(JSON.stringify({ mcp_url: `http://127.0.0.1:${listener.address().port}/mcp` })));
